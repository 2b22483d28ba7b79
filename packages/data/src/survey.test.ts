import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openDataset } from './open.ts';
import { surveyOf } from './survey.ts';
import { temporaryFolder, tiff, write, writeImages } from './testing.ts';

const root = temporaryFolder();

/** 16-bit grey of a number of bits, as a camera of so many writes it. */
const deep = (bits: number, seed: number) =>
  sharp(
    Uint16Array.from({ length: 32 * 32 }, (_, i) => ((i + 1) * 7919 * (seed + 3)) % 2 ** bits),
    { raw: { width: 32, height: 32, channels: 1 } },
  )
    .toColourspace('grey16')
    .png()
    .toBuffer();

async function notesOf(name: string, make: (i: number) => Promise<Buffer> | Buffer, ending = 'png') {
  const folder = join(root, name);
  for (let i = 0; i < 12; i++) write(join(folder, `${i}.${ending}`), await make(i));
  return (await surveyOf(await openDataset(folder))).notes;
}

describe('a set whose images are nearly constant is told by name', () => {
  // v >> 8 of values below 2 ** bits
  it.each([
    [10, 3],
    [12, 15],
    [14, 63],
  ])('%d bits in 16', async (bits, most) => {
    expect(await notesOf(`bits${bits}`, (i) => deep(bits, i))).toEqual([
      `bits${bits}: nearly constant: 8 of its images hold values of 0 to ${most} alone, where white is 255; if they are 10 to 14 bits in 16, or numbers of classes, scale them first`,
    ]);
  });

  it('numbers of classes', async () => {
    const mask = (i: number) =>
      sharp(
        Uint8Array.from({ length: 256 }, (_, at) => (at + i) % 21),
        {
          raw: { width: 16, height: 16, channels: 1 },
        },
      )
        .png()
        .toBuffer();
    const [note] = await notesOf('masks', mask);
    expect(note).toMatch(/^masks: nearly constant: 8 of its images hold values of 0 to 20 alone/);
  });
});

it('16 bits that are used, photos, and one dark image among others have nothing to tell', async () => {
  expect(await notesOf('bits16', (i) => deep(16, i))).toEqual([]);
  expect(await notesOf('mixed', (i) => deep(i === 0 ? 16 : 12, i))).toEqual([]);
  const folder = join(root, 'plain');
  await writeImages(folder, 8);
  expect((await surveyOf(await openDataset(folder))).notes).toEqual([]);
});

it('a band that is left out is told once, with a file', async () => {
  const pixels = Uint8Array.from({ length: 4 * 64 }, (_, i) => (i * 37) & 255);
  const tags = { samples: 4, bits: 8, photometric: 2, extra: [0] };
  const notes = await notesOf('near-infrared', () => tiff(8, 8, pixels, tags), 'tif');
  expect(notes).toEqual(['near-infrared: a band that is not said to be alpha is left out, in 0.tif for one']);
});

it('damaged images are passed over; where all are, there is nothing to tell', async () => {
  const folder = join(root, 'damaged');
  write(join(folder, 'a.png'), 'x');
  expect(await surveyOf(await openDataset(folder))).toEqual({ notes: [] });
});
