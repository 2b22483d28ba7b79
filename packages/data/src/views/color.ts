import type { RgbImage } from '../dataset.ts';
import { type Kernels, kernels } from './kernels.ts';

/*
 * Colour operations on interleaved RGB bytes, in place, with the rounding of the image library that torchvision's
 * transforms use for images: blends truncate, grey is a fixed-point weighted sum, hue goes through 8-bit HSV.
 */

/** ITU-R 601 grey of one pixel, rounded, in [0, 255]. */
export function grey(r: number, g: number, b: number): number {
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

function clip(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : value | 0;
}

const table = new Uint8Array(256);

function applyTable(data: Uint8Array, length: number): void {
  for (let i = 0; i < length; i++) data[i] = table[data[i]!]!;
}

/** Lets a kernel change a copy of the bytes, and takes the result. */
function onCopy(fast: Kernels, data: Uint8Array, length: number, change: (at: number) => void): void {
  const { at, bytes } = fast.room([length]);
  const start = at[0]!;
  bytes.set(data.subarray(0, length), start);
  change(start);
  data.set(bytes.subarray(start, start + length));
}

/** The sum of all pixels' greys. */
function greySum(data: Uint8Array, length: number, fast: Kernels | null): number {
  if (fast !== null) {
    const { at, bytes } = fast.room([length]);
    const start = at[0]!;
    bytes.set(data.subarray(0, length), start);
    // The kernel reads whole vectors: what is behind the image must add nothing.
    bytes.fill(0, start + length, start + length + 16);
    return fast.run.greySum(start, length);
  }
  let sum = 0;
  for (let i = 0; i < length; i += 3) sum += grey(data[i]!, data[i + 1]!, data[i + 2]!);
  return sum;
}

/**
 * Blends with one grey, in [0, 255].
 * @param fast `null` for the TypeScript form; the bytes are the same
 */
export function blendInPlace(
  data: Uint8Array,
  length: number,
  factor: number,
  mean: number,
  fast: Kernels | null = kernels,
): void {
  if (fast !== null) {
    onCopy(fast, data, length, (at) => fast.run.blend(at, length, factor, mean));
    return;
  }
  const f = Math.fround(factor);
  for (let v = 0; v < 256; v++) table[v] = clip(Math.fround(mean + Math.fround(f * (v - mean))));
  applyTable(data, length);
}

/** Blends with black: 0 gives black, 1 the image. */
export function brightnessInPlace(data: Uint8Array, length: number, factor: number): void {
  blendInPlace(data, length, factor, 0);
}

/** Blends with the image's mean grey. */
export function contrastInPlace(
  data: Uint8Array,
  length: number,
  factor: number,
  fast: Kernels | null = kernels,
): void {
  const mean = Math.floor(greySum(data, length, fast) / (length / 3) + 0.5);
  blendInPlace(data, length, factor, mean, fast);
}

/** Blends each pixel with its grey. */
export function saturationInPlace(
  data: Uint8Array,
  length: number,
  factor: number,
  fast: Kernels | null = kernels,
): void {
  if (fast !== null) {
    onCopy(fast, data, length, (at) => fast.run.saturate(at, length, factor));
    return;
  }
  const f = Math.fround(factor);
  // A difference of up to 255 either way, times the factor: a table saves three multiplications and roundings a pixel.
  for (let d = -255; d <= 255; d++) differences[d + 255] = Math.fround(f * d);
  for (let i = 0; i < length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const l = grey(r, g, b);
    data[i] = clip(l + differences[r - l + 255]!);
    data[i + 1] = clip(l + differences[g - l + 255]!);
    data[i + 2] = clip(l + differences[b - l + 255]!);
  }
}
const differences = new Float32Array(511);

const sector = new Uint8Array(256);
const rising = new Float64Array(256);
for (let h = 0; h < 256; h++) {
  const turn = Math.fround((h * 6) / 255);
  sector[h] = Math.floor(turn) % 6;
  rising[h] = Math.fround(turn - Math.floor(turn));
}

/**
 * Single precision where an 8-bit result depends on it: one step of hue or saturation can be five of a colour.
 * `quotients[256 d + n]` is n / d; `fractions[256 most + range]` the 8-bit saturation, as a fraction.
 */
const quotients = new Float32Array(65536);
const fractions = new Float32Array(65536);
for (let d = 1; d < 256; d++) {
  for (let n = 0; n <= d; n++) {
    const quotient = Math.fround(n / d);
    quotients[d * 256 + n] = quotient;
    fractions[d * 256 + n] = Math.trunc(quotient * 255) / 255;
  }
}

/** Turns the hue by `shift` of a full turn, in [-0.5, 0.5]. */
export function hueInPlace(
  data: Uint8Array,
  length: number,
  shift: number,
  fast: Kernels | null = kernels,
): void {
  const turn = Math.trunc(shift * 255) & 255;
  if (fast !== null) {
    onCopy(fast, data, length, (at) => fast.run.hue(at, length, turn));
    return;
  }
  for (let i = 0; i < length; i += 3) {
    const r = data[i]!;
    const g = data[i + 1]!;
    const b = data[i + 2]!;
    const most = Math.max(r, g, b);
    const least = Math.min(r, g, b);
    const range = most - least;
    // Without colour there is no hue to turn.
    if (range === 0) continue;
    const row = range << 8;
    const red = quotients[row + most - r]!;
    const green = quotients[row + most - g]!;
    const blue = quotients[row + most - b]!;
    let h: number;
    if (r === most) h = blue - green;
    else if (g === most) h = 2 + red - blue;
    else h = 4 + green - red;
    h = Math.fround(h) / 6 + 1;
    h = Math.fround(h >= 1 ? h - 1 : h);
    const turned = (((h * 255) | 0) + turn) & 255;
    const fraction = fractions[(most << 8) + range]!;
    const f = rising[turned]!;
    const p = (most * (1 - fraction) + 0.5) | 0;
    const q = (most * (1 - fraction * f) + 0.5) | 0;
    const t = (most * (1 - fraction * (1 - f)) + 0.5) | 0;
    switch (sector[turned]) {
      case 0:
        data[i] = most;
        data[i + 1] = t;
        data[i + 2] = p;
        break;
      case 1:
        data[i] = q;
        data[i + 1] = most;
        data[i + 2] = p;
        break;
      case 2:
        data[i] = p;
        data[i + 1] = most;
        data[i + 2] = t;
        break;
      case 3:
        data[i] = p;
        data[i + 1] = q;
        data[i + 2] = most;
        break;
      case 4:
        data[i] = t;
        data[i + 1] = p;
        data[i + 2] = most;
        break;
      default:
        data[i] = most;
        data[i + 1] = p;
        data[i + 2] = q;
    }
  }
}

/** Replaces each pixel by its grey. */
export function grayscaleInPlace(data: Uint8Array, length: number): void {
  for (let i = 0; i < length; i += 3) {
    const l = grey(data[i]!, data[i + 1]!, data[i + 2]!);
    data[i] = l;
    data[i + 1] = l;
    data[i + 2] = l;
  }
}

/** Inverts values of at least `threshold`. */
export function solarizeInPlace(data: Uint8Array, length: number, threshold: number): void {
  for (let v = 0; v < 256; v++) table[v] = v < threshold ? v : 255 - v;
  applyTable(data, length);
}

type InPlace = (data: Uint8Array, length: number, value: number) => void;

const pure =
  (run: InPlace) =>
  (image: RgbImage, value: number): RgbImage => {
    const data = image.data.slice();
    run(data, data.length, value);
    return { ...image, data };
  };

/** A copy, blended with black; factor >= 0. */
export const adjustBrightness = pure(brightnessInPlace);
/** A copy, blended with its mean grey; factor >= 0. */
export const adjustContrast = pure(contrastInPlace);
/** A copy, each pixel blended with its grey; factor >= 0. */
export const adjustSaturation = pure(saturationInPlace);
/** A copy with the hue turned by a share of a full turn in [-0.5, 0.5]. */
export const adjustHue = pure(hueInPlace);
/** A copy with values of at least `threshold` inverted. */
export const solarize = pure(solarizeInPlace);
/** A copy in grey. */
export const grayscale = (image: RgbImage): RgbImage => pure(grayscaleInPlace)(image, 0);

/** A copy, mirrored left to right. */
export function flip(image: RgbImage): RgbImage {
  const { width, height, data } = image;
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      const to = (y * width + width - 1 - x) * 3;
      for (let c = 0; c < 3; c++) out[to + c] = data[from + c]!;
    }
  }
  return { width, height, data: out };
}
