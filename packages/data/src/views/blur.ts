import type { RgbImage } from '../dataset.ts';
import { type Kernels, kernels } from './kernels.ts';
import { scratch } from './scratch.ts';

/*
 * Gaussian blur as three extended box blurs each way (Gwosdek et al., "Theoretical foundations of Gaussian convolution
 * by extended box filtering", SSVM 2011): a box of integer radius whose two outermost taps have a fractional weight.
 * The MoCo recipes blur through an image library that does the same, and its cost does not grow with sigma.
 */
const PASSES = 3;
const ONE = 2 ** 24;
const ROUND = ONE / 2;

/** Radius of the extended box whose variance, taken three times, is `sigma` squared. */
function boxRadius(sigma: number): number {
  const variance = (sigma * sigma) / PASSES;
  const integral = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const alpha =
    ((2 * integral + 1) * (integral * (integral + 1) - 3 * variance)) /
    (6 * (variance - (integral + 1) * (integral + 1)));
  return integral + alpha;
}

/** An extended box in fixed point (24 bits): `2 * radius + 1` taps of weight `inner` between two of weight `outer`. */
interface FixedBox {
  readonly radius: number;
  readonly inner: number;
  readonly outer: number;
}

/** Up to this radius (sigma 10) the vectors sum each box anew; beyond, moving sums, whose cost does not grow. */
const MOST_RADIUS = 9;

/**
 * Blurs interleaved RGB in place; edges are repeated outwards.
 * @param fast `null` for the TypeScript form; the bytes are the same
 */
export function blurInPlace(
  data: Uint8Array,
  width: number,
  height: number,
  sigma: number,
  fast: Kernels | null = kernels,
): void {
  const real = Math.fround(boxRadius(sigma));
  if (!(real > 0)) return;
  const radius = Math.trunc(real);
  // In single precision, where the rounding decides ties: at sigma 1, a sixth of all values.
  const inner = Math.trunc(Math.fround(ONE / Math.fround(real * 2 + 1)));
  const box = { radius, inner, outer: Math.trunc((ONE - (radius * 2 + 1) * inner) / 2) };
  if (fast !== null && radius <= MOST_RADIUS) {
    blurFast(fast, data, width, height, box);
    return;
  }
  const other = scratch('blur', data.length);
  // Six passes to and fro end where they began.
  blurAcross(data, other, width, height, box);
  blurAcross(other, data, width, height, box);
  blurAcross(data, other, width, height, box);
  blurDown(other, data, width, height, box);
  blurDown(data, other, width, height, box);
  blurDown(other, data, width, height, box);
}

function blurFast(
  { run, room }: Kernels,
  data: Uint8Array,
  width: number,
  height: number,
  box: FixedBox,
): void {
  const { radius, inner, outer } = box;
  const line = width * 3;
  const length = line * height;
  const padded = length + 2 * (radius + 1) * line;
  const across = line + 6 * (radius + 1);
  const { at, bytes } = room([length, Math.max(padded, across), Math.max(padded, across)]);
  const [image, a, b] = at as [number, number, number];
  const lows = (inner & 4095) | ((outer & 4095) << 16);
  const highs = (inner >> 12) | ((outer >> 12) << 16);
  bytes.set(data.subarray(0, length), image);
  run.blur(image, height, line, 3, radius, lows, highs, a, b);
  run.blur(image, 1, length, line, radius, lows, highs, a, b);
  data.set(bytes.subarray(image, image + length));
}

/** One pass across. */
function blurAcross(from: Uint8Array, to: Uint8Array, width: number, height: number, box: FixedBox): void {
  const { radius, inner, outer } = box;
  const last = (width - 1) * 3;
  const reach = radius * 3;
  for (let y = 0; y < height; y++) {
    for (let c = 0; c < 3; c++) {
      const start = y * width * 3 + c;
      const end = start + last;
      // The box of the pixel before the first: the loop moves on before it writes.
      let sum = from[start]! * (radius + 1);
      for (let r = 0; r < radius; r++) sum += from[Math.min(start + r * 3, end)]!;
      for (let at = start; at <= end; at += 3) {
        const before = from[Math.max(start, at - reach - 3)]!;
        sum = (sum + from[Math.min(end, at + reach)]! - before) | 0;
        const after = from[Math.min(end, at + reach + 3)]!;
        to[at] = (Math.imul(sum, inner) + Math.imul(before + after, outer) + ROUND) >>> 24;
      }
    }
  }
}

let sums = new Int32Array(0);

/** One pass downwards, a row at a time, so that memory is read in order. */
function blurDown(from: Uint8Array, to: Uint8Array, width: number, height: number, box: FixedBox): void {
  const { radius, inner, outer } = box;
  const line = width * 3;
  const last = (height - 1) * line;
  if (sums.length < line) sums = new Int32Array(line);
  const total = sums;
  for (let x = 0; x < line; x++) total[x] = from[x]! * (radius + 1);
  for (let r = 0; r < radius; r++) {
    const row = Math.min(r * line, last);
    for (let x = 0; x < line; x++) total[x] = total[x]! + from[row + x]!;
  }
  for (let y = 0; y < height; y++) {
    const at = y * line;
    const leaving = Math.max(0, at - (radius + 1) * line);
    const entering = Math.min(last, at + radius * line);
    const next = Math.min(last, at + (radius + 1) * line);
    for (let x = 0; x < line; x++) {
      const before = from[leaving + x]!;
      const sum = total[x]! + from[entering + x]! - before;
      total[x] = sum;
      to[at + x] = (Math.imul(sum, inner) + Math.imul(before + from[next + x]!, outer) + ROUND) >>> 24;
    }
  }
}

/** A blurred copy. @param sigma standard deviation in pixels */
export function gaussianBlur(image: RgbImage, sigma: number): RgbImage {
  const data = image.data.slice();
  blurInPlace(data, image.width, image.height, sigma);
  return { ...image, data };
}
