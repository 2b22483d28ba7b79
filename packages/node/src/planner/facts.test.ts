import { DataError } from '@moco-ts/core';
import { defineDataset, openDataset } from '@moco-ts/data';
import { expect, it } from 'vitest';
import { imageFolder } from '../../../cli/src/testing.ts';
import { lookAt, shareHeldOut } from './facts.ts';

const image = (width: number, height: number, value = 0, blue = value) => ({
  ...{ width, height },
  data: Uint8Array.from({ length: 3 * width * height }, (_, i) => (i % 3 === 2 ? blue : value)),
});

it('finds the median size of images that can be read, and whether any has a colour', async () => {
  const own = [image(10, 4), image(30, 8), image(20, 6)];
  const dataset = defineDataset({
    ...{ name: 'own', length: 4, classes: ['a', 'b'] },
    decode: (i: number) => {
      const found = own[i];
      if (!found) throw new DataError('damaged');
      return found;
    },
  });
  expect(await lookAt(dataset, 7)).toEqual({
    images: 4,
    heldOut: 7,
    width: 20,
    height: 6,
    grey: true,
    classes: 2,
  });
  own[1] = image(30, 8, 5, 6);
  expect((await lookAt(dataset, 0)).grey).toBe(false);
});

it('has processes decode where asked to', async () => {
  const set = await openDataset(imageFolder(5));
  const here = await lookAt(set, 0);
  const decode = () => Promise.reject(new Error('decoded here'));
  expect(await lookAt({ ...set, decode }, 0, { isolate: true, workers: 1 })).toEqual(here);
  expect(here.width).toBeGreaterThan(0);
});

it.each([
  [99, 0],
  [100, 0.1],
  [10_000, 0.1],
  [40_000, 0.025],
])('of %i images holds out a share of %f', (images, share) => {
  expect(shareHeldOut(images)).toBe(share);
});
