import { rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { blurInPlace } from './blur.ts';
import { blendInPlace } from './color.ts';
import { kernels } from './kernels.ts';
import { resizeInto } from './resize.ts';

const random = rng(7, 'kernels');

function noise(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  // Extremes as well, where a sum or a rounding would overflow.
  for (let i = 0; i < data.length; i++)
    data[i] = random.uniform() < 0.3 ? 255 * random.integer(2) : random.integer(256);
  return { width, height, data };
}

describe('the vector kernels give the bytes of the TypeScript forms', () => {
  it('are there: this Node has vectors', () => expect(kernels).not.toBeNull());

  it.each([
    [1, 1, 5, 3],
    [2, 3, 33, 17],
    [33, 65, 32, 32],
    [101, 57, 31, 47],
    [500, 375, 224, 224],
    [641, 7, 9, 40],
    [7, 900, 40, 3],
    [223, 225, 223, 225],
    [1000, 500, 3, 2],
  ])('resize %d x %d to %d x %d, whole and in part', (w, h, width, height) => {
    const picture = noise(w, h);
    const left = random.integer(w);
    const top = random.integer(h);
    const part = { left, top, width: 1 + random.integer(w - left), height: 1 + random.integer(h - top) };
    const all = { left: 0, top: 0, width: w, height: h };
    const inside = { left: width >> 1, top: height >> 1, width: (width + 1) >> 1, height: (height + 1) >> 1 };
    for (const box of [all, part])
      for (const window of [{ left: 0, top: 0, width, height }, inside]) {
        const fast = new Uint8Array(window.width * window.height * 3);
        const plain = fast.slice();
        resizeInto(picture, box, width, height, window, fast, kernels);
        resizeInto(picture, box, width, height, window, plain, null);
        expect(Buffer.compare(fast, plain)).toBe(0);
      }
  });

  it.each([
    [1, 1],
    [2, 5],
    [17, 9],
    [32, 32],
    [225, 111],
  ])('blur %d x %d', (width, height) => {
    for (const sigma of [0.01, 0.1, 0.5, 1, 1.7, 2.5, 4, 7, 9.9, 15]) {
      const fast = noise(width, height).data;
      const plain = fast.slice();
      blurInPlace(fast, width, height, sigma, kernels);
      blurInPlace(plain, width, height, sigma, null);
      expect(Buffer.compare(fast, plain)).toBe(0);
    }
  });

  it('blends', () => {
    for (let i = 0; i < 200; i++) {
      const fast = noise(1 + random.integer(40), 7).data;
      const plain = fast.slice();
      const factor = i < 3 ? [0, 1, 1e6][i]! : random.uniform(0, 2.5);
      const mean = i % 2 === 0 ? 0 : random.integer(256);
      blendInPlace(fast, fast.length, factor, mean, kernels);
      blendInPlace(plain, plain.length, factor, mean, null);
      expect(Buffer.compare(fast, plain)).toBe(0);
    }
  });
});
