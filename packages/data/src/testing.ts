/** What the tests share: folders that go away, and tiny images. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll } from 'vitest';

const folders: string[] = [];
// Registered here, not where a folder is made: a hook that a running test adds never runs.
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of the test file's own, removed after its last test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'moco-data-'));
  folders.push(folder);
  return folder;
}

export function write(path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

export type Format = 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff' | 'avif';

/** An encoded image of one colour, with a darker right half. */
export function encoded(
  color: [number, number, number],
  format: Format,
  width = 24,
  height = 16,
): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[i * 3 + c] = i % width < width / 2 ? color[c]! : color[c]! >> 1;
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    [format]()
    .toBuffer();
}

export interface TiffTags {
  readonly samples: number;
  readonly bits: number;
  readonly photometric: number;
  readonly extra?: readonly number[];
  /** 1: unsigned, 2: signed, 3: float. */
  readonly format?: number;
  readonly big?: boolean;
}

/** An uncompressed TIFF of one strip, of low bytes first. */
export function tiff(width: number, height: number, pixels: Uint8Array, tags: TiffTags): Buffer {
  const { samples, bits, photometric, extra, format = 1, big = false } = tags;
  const many = (value: number) => Array<number>(samples).fill(value);
  const fields: [tag: number, type: 3 | 4, values: readonly number[]][] = [
    [256, 4, [width]],
    [257, 4, [height]],
    [258, 3, many(bits)],
    [259, 3, [1]],
    [262, 3, [photometric]],
    [273, 4, [0]],
    [277, 3, [samples]],
    [278, 4, [height]],
    [279, 4, [pixels.length]],
    ...(extra ? [[338, 3, extra] as [number, 3, readonly number[]]] : []),
    [339, 3, many(format)],
  ];
  const [head, entry, room] = big ? [16, 20, 8] : [8, 12, 4];
  const directory = (big ? 8 : 2) + fields.length * entry + room;
  const parts: Buffer[] = [];
  let end = head + directory;
  const place = (bytes: Buffer) => {
    parts.push(bytes);
    end += bytes.length;
    return end - bytes.length;
  };
  const first = Buffer.alloc(end);
  first.write('II');
  const word = (value: number, at: number) =>
    big ? first.writeBigUInt64LE(BigInt(value), at) : first.writeUInt32LE(value, at);
  first.writeUInt16LE(big ? 43 : 42, 2);
  if (big) first.writeUInt16LE(8, 4);
  word(head, big ? 8 : 4);
  if (big) word(fields.length, head);
  else first.writeUInt16LE(fields.length, head);
  const strip = place(Buffer.from(pixels));
  fields.forEach(([tag, type, given], i) => {
    const values = tag === 273 ? [strip] : given;
    const at = head + (big ? 8 : 2) + i * entry;
    const packed = Buffer.alloc(values.length * (type === 3 ? 2 : 4));
    values.forEach((value, v) => {
      if (type === 3) packed.writeUInt16LE(value, 2 * v);
      else packed.writeUInt32LE(value, 4 * v);
    });
    first.writeUInt16LE(tag, at);
    first.writeUInt16LE(type, at + 2);
    word(values.length, at + 4);
    if (packed.length <= room) packed.copy(first, at + entry - room);
    else word(place(packed), at + entry - room);
  });
  return Buffer.concat([first, ...parts]);
}

/** `count` PNGs of different colours. */
export async function writeImages(folder: string, count: number, name = 'p'): Promise<void> {
  for (let i = 0; i < count; i++) {
    const color: [number, number, number] = [(i * 53) & 255, (i * 101) & 255, (255 - i * 29) & 255];
    write(join(folder, `${name}${String(i).padStart(3, '0')}.png`), await encoded(color, 'png'));
  }
}

/**
 * Runs the text of a module in a process of its own, under limits of the shell.
 * @param text imports sources by paths that begin with `./`; what it gives to `answer` is the result
 * @param limits for `ulimit`
 * @param here folder of the sources, this package's by default
 * @returns the answer, and the most memory that the process held, in MiB
 */
export async function inChild(
  text: string,
  limits = '',
  here = fileURLToPath(new URL('.', import.meta.url)),
): Promise<{ answer: unknown; peak: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'moco-child-'));
  const file = join(folder, 'child.mts');
  const head = `const answer = (value: unknown) => console.log(JSON.stringify({ answer: value, peak: process.resourceUsage().maxRSS / 1024 }));\n`;
  writeFileSync(file, head + text.replaceAll(" from './", ` from '${pathToFileURL(here).href}`));
  const command = `${limits && `ulimit ${limits} && `}exec "$0" --import tsx "$1"`;
  try {
    const run = promisify(execFile)('bash', ['-c', command, process.execPath, file], {
      cwd: here,
      env: { ...process.env, TSX_TSCONFIG_PATH: join(here, '../tsconfig.sources.json') },
    });
    return JSON.parse((await run).stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
