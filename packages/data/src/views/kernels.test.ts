import { rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { normaliseInto } from './apply.ts';
import { blurInPlace } from './blur.ts';
import { blendInPlace, contrastInPlace, hueInPlace, saturationInPlace } from './color.ts';
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
    const image = noise(w, h);
    const left = random.integer(w);
    const top = random.integer(h);
    const part = { left, top, width: 1 + random.integer(w - left), height: 1 + random.integer(h - top) };
    const all = { left: 0, top: 0, width: w, height: h };
    const inside = { left: width >> 1, top: height >> 1, width: (width + 1) >> 1, height: (height + 1) >> 1 };
    for (const box of [all, part])
      for (const window of [{ left: 0, top: 0, width, height }, inside]) {
        const fast = new Uint8Array(window.width * window.height * 3);
        const plain = fast.slice();
        resizeInto(image, box, width, height, window, fast, kernels);
        resizeInto(image, box, width, height, window, plain, null);
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

  /** All colours of one red. */
  function reds(red: number): Uint8Array {
    const data = new Uint8Array(65536 * 3);
    for (let i = 0; i < 65536; i++) data.set([red, i >> 8, i & 255], i * 3);
    return data;
  }

  it.each([-0.5, -0.1, 0.013, 0.4])('turns the hue of every colour by %d', (shift) => {
    for (let red = 0; red < 256; red++) {
      const [fast, plain] = [reds(red), reds(red)];
      hueInPlace(fast, fast.length, shift, kernels);
      hueInPlace(plain, plain.length, shift, null);
      if (Buffer.compare(fast, plain) !== 0) expect(fast).toEqual(plain);
    }
  });

  it.each([0, 0.3, 1, 1.4, 7])('saturates every colour by %d', (factor) => {
    for (let red = 0; red < 256; red += 5) {
      const [fast, plain] = [reds(red), reds(red)];
      saturationInPlace(fast, fast.length, factor, kernels);
      saturationInPlace(plain, plain.length, factor, null);
      if (Buffer.compare(fast, plain) !== 0) expect(fast).toEqual(plain);
    }
  });

  it.each([1, 2, 5, 3 * 37])(
    'changes the contrast, saturation and hue of %d pixels and nothing behind them',
    (pixels) => {
      const { data } = noise(pixels + 8, 1);
      const length = pixels * 3;
      for (const change of [contrastInPlace, saturationInPlace, hueInPlace]) {
        const [fast, plain] = [data.slice(), data.slice()];
        change(fast, length, 0.37, kernels);
        change(plain, length, 0.37, null);
        expect(fast).toEqual(plain);
        expect(fast.subarray(length)).toEqual(data.subarray(length));
      }
    },
  );

  it.each([1, 3, 32])('normalises %d px, mirrored or not', (size) => {
    const { data } = noise(size, size);
    const target = { size, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    for (const mirrored of [false, true]) {
      const [fast, plain] = [new Float32Array(size * size * 3 + 5), new Float32Array(size * size * 3 + 5)];
      normaliseInto(data, target, mirrored, fast, 2, kernels);
      normaliseInto(data, target, mirrored, plain, 2, null);
      expect(fast).toEqual(plain);
    }
  });
});
