import { expect, it } from 'vitest';
import type { Settings } from '../fields.ts';
import { fit } from './fit.ts';

const settings: Settings = {
  ...{ backend: 'auto', arch: 'auto', epochs: 100, lr: 0.002, seed: 0 },
  ...{ batchSize: 64, mocoK: 512 },
};

it('batch and queue stay where they suit the set', () => {
  expect(fit(settings, 512)).toEqual({ settings });
});
it.each([
  [511, 64, 256],
  [64, 64, 64],
  [63, 32, 32],
  [16, 16, 16],
])('of %i images takes batches of %i and %i keys, and says so', (images, batchSize, mocoK) => {
  expect(fit(settings, images)).toEqual({
    settings: { ...settings, batchSize, mocoK },
    note: `For ${images} images the batch is ${batchSize}, the queue ${mocoK} keys.`,
  });
});
it('a set too small for any batch is told how many images a training takes', () => {
  expect(() => fit(settings, 15)).toThrow('15 images are too few: training takes 16 at least.');
  expect(() => fit(settings, 1)).toThrow('1 image is too few');
});
