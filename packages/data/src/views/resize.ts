import type { RgbImage } from '../dataset.ts';
import { type Kernels, kernels } from './kernels.ts';
import type { Box } from './sample.ts';
import { scratch } from './scratch.ts';

/*
 * Bilinear resampling with anti-alias, as Pillow does it: a triangle filter that widens with the reduction, weights in
 * fixed point (22 bits), first across, then down, with rounding to 8 bits in between.
 */
const BITS = 22;
const HALF = 1 << (BITS - 1);

/** Weights of one axis: output i reads `counts[i]` inputs from `starts[i]`. */
interface Axis {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly weights: Int32Array;
  readonly stride: number;
}

const axes = new Map<number, Axis>();
const MOST_AXES = 2048;

function axis(input: number, output: number): Axis {
  const key = input * 65536 + output;
  let kept = axes.get(key);
  if (kept === undefined) {
    if (axes.size >= MOST_AXES) axes.clear();
    kept = makeAxis(input, output);
    axes.set(key, kept);
  }
  return kept;
}

function makeAxis(input: number, output: number): Axis {
  const scale = input / output;
  const support = Math.max(scale, 1);
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(output);
  const counts = new Int32Array(output);
  const weights = new Int32Array(output * stride);
  const taps = new Float64Array(stride);
  for (let i = 0; i < output; i++) {
    const centre = (i + 0.5) * scale;
    let start = Math.max(0, Math.trunc(centre - support + 0.5));
    let count = Math.min(input, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let t = 0; t < count; t++) {
      taps[t] = Math.max(0, 1 - Math.abs((start + t + 0.5 - centre) / support));
      sum += taps[t]!;
    }
    // Taps of weight 0 at either end only cost time.
    let skip = 0;
    while (count > 1 && taps[skip] === 0) {
      skip++;
      start++;
      count--;
    }
    while (count > 1 && taps[skip + count - 1] === 0) count--;
    starts[i] = start;
    counts[i] = count;
    for (let t = 0; t < count; t++) {
      weights[i * stride + t] = Math.floor((taps[skip + t]! / sum) * (1 << BITS) + 0.5);
    }
  }
  return { starts, counts, weights, stride };
}

/**
 * Resizes the part `box` of an image to `width` x `height` and writes the part `window` of the result.
 * Pixels outside the box have no influence, as if it had been cut out first.
 * @param out at least `window.width * window.height * 3` bytes
 * @param fast `null` for the TypeScript form; the bytes are the same
 */
export function resizeInto(
  image: RgbImage,
  box: Box,
  width: number,
  height: number,
  window: Box,
  out: Uint8Array,
  fast: Kernels | null = kernels,
): void {
  const across = axis(box.width, width);
  const down = axis(box.height, height);
  const lastRow = window.top + window.height - 1;
  const firstInput = down.starts[window.top]!;
  const inputs = down.starts[lastRow]! + down.counts[lastRow]! - firstInput;
  const line = window.width * 3;
  if (fast !== null) {
    const rows = { first: firstInput, count: inputs };
    resizeFast(fast, image, box, across, down, window, rows, out);
    return;
  }
  const middle = scratch('resize', inputs * line);
  passAcross(image, box, across, window, firstInput, inputs, middle);
  passDown(middle, line, down, window, firstInput, out);
}

/** The source is copied in bands of about this many bytes, so that memory does not grow with the image. */
const BAND = 1 << 18;

function resizeFast(
  { run, room }: Kernels,
  image: RgbImage,
  box: Box,
  across: Axis,
  down: Axis,
  window: Box,
  rows: { readonly first: number; readonly count: number },
  out: Uint8Array,
): void {
  const line = window.width * 3;
  const pitch = image.width * 3;
  const x = packAxis(across, window.left, window.width, 3, 0);
  const y = packAxis(down, window.top, window.height, line, rows.first);
  const band = Math.max(1, Math.floor(BAND / pitch));
  const made = line * window.height;
  const lengths = [
    x.packed.byteLength,
    y.packed.byteLength,
    band * pitch + 6 * x.pairs,
    (rows.count + 2 * y.pairs) * line,
    made,
  ];
  const { at, bytes } = room(lengths);
  const [weightsX, weightsY, source, middle, result] = at as [number, number, number, number, number];
  bytes.set(new Uint8Array(x.packed.buffer), weightsX);
  bytes.set(new Uint8Array(y.packed.buffer), weightsY);
  for (let row = 0; row < rows.count; row += band) {
    const count = Math.min(band, rows.count - row);
    const from = (box.top + rows.first + row) * pitch + box.left * 3;
    bytes.set(image.data.subarray(from, from + (count - 1) * pitch + box.width * 3), source);
    run.across(source, pitch, count, weightsX, x.pairs, window.width, middle + row * line);
  }
  run.down(middle, line, window.height, weightsY, y.pairs, result);
  out.set(bytes.subarray(result, result + made));
}

/** Per output the start in bytes, then per pair of taps the low 11 bits of both weights and the high ones. */
function packAxis(axis: Axis, from: number, outputs: number, unit: number, firstInput: number) {
  let most = 1;
  for (let i = from; i < from + outputs; i++) most = Math.max(most, axis.counts[i]!);
  const pairs = (most + 1) >> 1;
  const packed = new Int32Array(outputs * (1 + 2 * pairs));
  let o = 0;
  for (let i = from; i < from + outputs; i++) {
    packed[o++] = (axis.starts[i]! - firstInput) * unit;
    const count = axis.counts[i]!;
    for (let t = 0; t < 2 * pairs; t += 2) {
      const a = t < count ? axis.weights[i * axis.stride + t]! : 0;
      const b = t + 1 < count ? axis.weights[i * axis.stride + t + 1]! : 0;
      packed[o++] = (a & 2047) | ((b & 2047) << 16);
      packed[o++] = (a >> 11) | ((b >> 11) << 16);
    }
  }
  return { packed, pairs };
}

function passAcross(
  image: RgbImage,
  box: Box,
  { starts, counts, weights, stride }: Axis,
  window: Box,
  firstRow: number,
  rows: number,
  out: Uint8Array,
): void {
  const source = image.data;
  const pitch = image.width * 3;
  const left = window.left;
  const right = window.left + window.width;
  let o = 0;
  for (let y = 0; y < rows; y++) {
    const base = (box.top + firstRow + y) * pitch + box.left * 3;
    for (let x = left; x < right; x++) {
      let from = base + starts[x]! * 3;
      let k = x * stride;
      const end = k + counts[x]!;
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (; k < end; k++) {
        const weight = weights[k]!;
        r = (r + Math.imul(source[from]!, weight)) | 0;
        g = (g + Math.imul(source[from + 1]!, weight)) | 0;
        b = (b + Math.imul(source[from + 2]!, weight)) | 0;
        from += 3;
      }
      out[o] = r >> BITS;
      out[o + 1] = g >> BITS;
      out[o + 2] = b >> BITS;
      o += 3;
    }
  }
}

function passDown(
  source: Uint8Array,
  line: number,
  { starts, counts, weights, stride }: Axis,
  window: Box,
  firstRow: number,
  out: Uint8Array,
): void {
  let o = 0;
  for (let y = window.top; y < window.top + window.height; y++) {
    const base = (starts[y]! - firstRow) * line;
    const count = counts[y]!;
    const k = y * stride;
    if (count === 1) {
      for (let x = 0; x < line; x++) out[o++] = source[base + x]!;
    } else if (count <= 4) {
      // Missing taps read row 0 of the group with weight 0, so that one loop without a branch serves 2 to 4.
      const w0 = weights[k]!;
      const w1 = weights[k + 1]!;
      const w2 = count > 2 ? weights[k + 2]! : 0;
      const w3 = count > 3 ? weights[k + 3]! : 0;
      const row1 = base + line;
      const row2 = count > 2 ? base + 2 * line : base;
      const row3 = count > 3 ? base + 3 * line : base;
      for (let x = 0; x < line; x++) {
        const low = Math.imul(source[base + x]!, w0) + Math.imul(source[row1 + x]!, w1);
        const high = Math.imul(source[row2 + x]!, w2) + Math.imul(source[row3 + x]!, w3);
        out[o++] = (HALF + low + high) >> BITS;
      }
    } else {
      for (let x = 0; x < line; x++) {
        let sum = HALF;
        let from = base + x;
        for (let t = 0; t < count; t++) {
          sum = (sum + Math.imul(source[from]!, weights[k + t]!)) | 0;
          from += line;
        }
        out[o++] = sum >> BITS;
      }
    }
  }
}

/** Cuts `box` out of an image and resizes it to `size` x `size`. */
export function resizedCrop(image: RgbImage, box: Box, size: number): RgbImage {
  return resize(image, size, size, box);
}

/** Resizes an image, or the part `box` of it. */
export function resize(image: RgbImage, width: number, height: number, box?: Box): RgbImage {
  const data = new Uint8Array(width * height * 3);
  const uncropped = { left: 0, top: 0, width: image.width, height: image.height };
  resizeInto(image, box ?? uncropped, width, height, { left: 0, top: 0, width, height }, data);
  return { width, height, data };
}
