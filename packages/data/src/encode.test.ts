import { rng } from '@moco-ts/core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { encodePng, pictureOf } from './encode.ts';
import { applyClean } from './views/apply.ts';

const random = rng(0, 'test/encode');
const picture = (size: number) => ({
  width: size,
  height: size,
  data: Uint8Array.from({ length: 3 * size * size }, () => random.integer(256)),
});

it('a PNG holds the same pixels', async () => {
  const { width, height, data } = picture(7);
  const decoded = await sharp(await encodePng({ width, height, data }))
    .raw()
    .toBuffer();
  expect([...decoded]).toEqual([...data]);
});

it('what was normalised comes back to the byte', () => {
  const target = { size: 9, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const original = picture(9);
  expect(pictureOf(applyClean(original, target), target)).toEqual(original);
});
