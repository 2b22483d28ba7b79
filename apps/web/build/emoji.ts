/** Packs some of the built-in emoji into one image: as the training sees them, on white, without loss. */
import { mkdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { codepointsOf, openDataset } from '@moco-ts/data';
import sharp from 'sharp';
import type { Sheet } from '../src/sheet.ts';

/** Every fifth emoji that both designers have drawn. */
const EVERY = 5;
const COLUMNS = 25;
/** Pixels. */
const CELL = 64;

/** Writes `emoji.webp` and `emoji.json`, a {@link Sheet}, into a folder. */
export async function packEmoji(folder: string): Promise<void> {
  const set = await openDataset('emoji');
  const drawings = new Map<string, number[]>();
  for (let i = 0; i < set.length; i++) {
    const subject = codepointsOf(set.id(i));
    drawings.set(subject, [...(drawings.get(subject) ?? []), i]);
  }
  const both = [...drawings.values()].filter(({ length }) => length === 2);
  const indices = both.filter((_, i) => i % EVERY === 0).flat();
  const names = emojiNames();
  const rows = Math.ceil(indices.length / COLUMNS);
  const line = COLUMNS * CELL * 3;
  const pixels = new Uint8Array(rows * CELL * line).fill(255);
  for (const [at, index] of indices.entries()) {
    const { width, height, data } = await set.decode(index);
    if (width !== CELL || height !== CELL)
      throw new Error(`${set.id(index)} is ${width} x ${height}, not ${CELL} x ${CELL}`);
    const start = Math.floor(at / COLUMNS) * CELL * line + (at % COLUMNS) * CELL * 3;
    for (let y = 0; y < CELL; y++)
      pixels.set(data.subarray(y * CELL * 3, (y + 1) * CELL * 3), start + y * line);
  }
  const sheet: Sheet = {
    columns: COLUMNS,
    cell: CELL,
    images: indices.map((index) => {
      const [designer, codepoints] = set.id(index).split('/') as [string, string];
      return { id: set.id(index), name: `${names.get(codepoints)} (${designer})`, subject: codepoints };
    }),
  };
  await mkdir(folder, { recursive: true });
  const raw = { width: COLUMNS * CELL, height: rows * CELL, channels: 3 } as const;
  await sharp(pixels, { raw }).webp({ lossless: true, effort: 6 }).toFile(join(folder, 'emoji.webp'));
  await writeFile(join(folder, 'emoji.json'), JSON.stringify(sheet));
}

/** What Unicode calls them, by code points. */
function emojiNames(): Map<string, string> {
  const list = createRequire(import.meta.url)('emoji-datasource-google/emoji.json') as readonly {
    readonly image: string;
    readonly name: string | null;
    readonly short_name: string;
  }[];
  return new Map(
    list.map(({ image, name, short_name }) => [
      image.replace(/\.png$/, ''),
      (name ?? short_name).toLowerCase().replaceAll('_', ' '),
    ]),
  );
}
