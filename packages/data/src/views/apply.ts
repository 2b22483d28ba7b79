import { byteTable } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import { blurInPlace } from './blur.ts';
import * as color from './color.ts';
import { type Kernels, kernels } from './kernels.ts';
import { resizeInto } from './resize.ts';
import type { AppliedOp, Box, ViewParams } from './sample.ts';
import { scratch } from './scratch.ts';

/** How bytes become numbers: (value / 255 - mean) / std per channel, in an image of `size` x `size`. */
export interface Target {
  readonly size: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Images as numbers: normalised floats, or the bytes that are to be normalised. */
export type Pixels = Float32Array | Uint8Array;

/**
 * Cuts, resizes and colours: one view, written as `[3, size, size]` planes, normalised unless they are to be bytes.
 * @param out where to write, by default a new array of floats; `offset` counts numbers
 */
export function applyView<P extends Pixels = Float32Array>(
  image: RgbImage,
  params: ViewParams,
  target: Target,
  out: P = new Float32Array(3 * target.size * target.size) as P,
  offset = 0,
): P {
  const { size } = target;
  const length = size * size * 3;
  const work = scratch('view', length).subarray(0, length);
  resizeInto(image, params.box, size, size, { left: 0, top: 0, width: size, height: size }, work);
  let mirrored = false;
  // Mirroring commutes with every other step, so it waits for the last copy.
  for (const step of params.ops) {
    if (step.op === 'flip') mirrored = !mirrored;
    else applyInPlace(work, size, step);
  }
  if (out instanceof Uint8Array) planesInto(work, size, mirrored, out, offset);
  else normaliseInto(work, target, mirrored, out, offset);
  return out;
}

function applyInPlace(data: Uint8Array, size: number, step: AppliedOp): void {
  const length = data.length;
  if (step.op === 'brightness') color.brightnessInPlace(data, length, step.factor);
  else if (step.op === 'contrast') color.contrastInPlace(data, length, step.factor);
  else if (step.op === 'saturation') color.saturationInPlace(data, length, step.factor);
  else if (step.op === 'hue') color.hueInPlace(data, length, step.shift);
  else if (step.op === 'grayscale') color.grayscaleInPlace(data, length);
  else if (step.op === 'solarize') color.solarizeInPlace(data, length, step.threshold);
  else if (step.op === 'blur') blurInPlace(data, size, size, step.sigma);
}

/**
 * The eval transform of an image, `[3, size, size]`: the shorter side resized to `resizeTo`, then the centre cut out.
 * @param resizeTo by default {@link clearSide}
 * @throws RangeError if `resizeTo` is smaller than the target
 */
export function applyEvalTransform(
  image: RgbImage,
  target: Target,
  resizeTo = clearSide(image, target.size),
  out = new Float32Array(3 * target.size * target.size),
  offset = 0,
): Float32Array {
  const { size } = target;
  if (resizeTo < size)
    throw new RangeError(`resized to ${resizeTo} px, there is no centre of ${size} px to cut out`);
  const { width, height } = image;
  const short = Math.min(width, height);
  const w = width === short ? resizeTo : Math.trunc((resizeTo * width) / short);
  const h = height === short ? resizeTo : Math.trunc((resizeTo * height) / short);
  const window: Box = {
    left: roundEven((w - size) / 2),
    top: roundEven((h - size) / 2),
    width: size,
    height: size,
  };
  const length = size * size * 3;
  const work = scratch('view', length).subarray(0, length);
  resizeInto(image, { left: 0, top: 0, width, height }, w, h, window, work);
  normaliseInto(work, target, false, out, offset);
  return out;
}

/** From this size on, images are taken for photographs whose border may go. */
const LARGE = 112;

/**
 * The length of the shorter side before the centre is cut out: `size` for square or small images, so that nothing is
 * lost, and else `size * 256 / 224`, the usual ImageNet evaluation.
 */
export function clearSide(image: { width: number; height: number }, size: number): number {
  return image.width === image.height || size < LARGE ? size : Math.round((size * 256) / 224);
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor & 1) : Math.round(value);
}

let tableKey = '';
/** What each byte becomes, 256 numbers a channel. */
const tables = new Float32Array(768);

/** @param fast `null` for the TypeScript form; the numbers are the same */
export function normaliseInto(
  work: Uint8Array,
  target: Target,
  mirrored: boolean,
  out: Float32Array,
  offset: number,
  fast: Kernels | null = kernels,
): void {
  const { size, mean, std } = target;
  const key = `${mean.join()};${std.join()}`;
  if (key !== tableKey) {
    tableKey = key;
    tables.set(byteTable({ mean, std }));
  }
  const plane = size * size;
  if (fast !== null) {
    const { at, bytes } = fast.room([plane * 3, tables.byteLength, plane * 12]);
    const [from, table, to] = at as [number, number, number];
    bytes.set(work.subarray(0, plane * 3), from);
    bytes.set(new Uint8Array(tables.buffer), table);
    fast.run.planes(from, size, table, mirrored ? 1 : 0, to);
    out.set(new Float32Array(bytes.buffer, to, plane * 3), offset);
    return;
  }
  eachPixel(size, mirrored, (from, place) => {
    const to = offset + place;
    out[to] = tables[work[from]!]!;
    out[to + plane] = tables[256 + work[from + 1]!]!;
    out[to + 2 * plane] = tables[512 + work[from + 2]!]!;
  });
}

/** Interleaved bytes as planes. */
function planesInto(
  work: Uint8Array,
  size: number,
  mirrored: boolean,
  out: Uint8Array,
  offset: number,
): void {
  const plane = size * size;
  eachPixel(size, mirrored, (from, place) => {
    const to = offset + place;
    out[to] = work[from]!;
    out[to + plane] = work[from + 1]!;
    out[to + 2 * plane] = work[from + 2]!;
  });
}

/** Calls back with each pixel's place among interleaved channels, and in a plane. */
function eachPixel(size: number, mirrored: boolean, visit: (from: number, to: number) => void): void {
  const step = mirrored ? -1 : 1;
  let from = 0;
  for (let y = 0; y < size; y++) {
    let to = y * size + (mirrored ? size - 1 : 0);
    for (let x = 0; x < size; x++) {
      visit(from, to);
      from += 3;
      to += step;
    }
  }
}
