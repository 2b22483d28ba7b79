import { rng } from '@moco-ts/core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { encodePng, imageOf } from './encode.ts';
import { applyEvalTransform } from './views/apply.ts';

const random = rng(0, 'test/encode');
const image = (size: number) => ({
  width: size,
  height: size,
  data: Uint8Array.from({ length: 3 * size * size }, () => random.integer(256)),
});

it('a PNG holds the same pixels', async () => {
  const { width, height, data } = image(7);
  const decoded = await sharp(await encodePng({ width, height, data }))
    .raw()
    .toBuffer();
  expect([...decoded]).toEqual([...data]);
});

it('what was normalised comes back to the byte', () => {
  const target = { size: 9, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const original = image(9);
  expect(imageOf(applyEvalTransform(original, target), target)).toEqual(original);
});
