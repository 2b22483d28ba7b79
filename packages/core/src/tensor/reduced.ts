/** Rounding to the float types of two bytes: bfloat16 (float32 with a short significand) and float16 (IEEE 754's binary16). */
import type { ReducedDType } from './tensor.ts';

interface Format {
  /** Bits of the significand, the hidden one included. */
  readonly digits: number;
  /** Exponents of the smallest and the largest normal number. */
  readonly least: number;
  readonly most: number;
}

const formats: Readonly<Record<ReducedDType, Format>> = {
  bfloat16: { digits: 8, least: -126, most: 127 },
  float16: { digits: 11, least: -14, most: 15 },
};

/** The largest relative error of one rounding to the nearest: 2^-8 of bfloat16, 2^-11 of float16. */
export const unitRoundoff = (dtype: ReducedDType): number => 2 ** -formats[dtype].digits;

/** Added to a number of less than 2^51 and taken off again, it leaves the nearest integer, ties to even. */
const INTEGER = 1.5 * 2 ** 52;

const word = new Float64Array(1);
const halves = new Uint32Array(word.buffer);
/** Floor of log2 |x|, exactly, of a normal float64. */
function exponentOf(x: number): number {
  word[0] = x;
  return ((halves[1]! >>> 20) & 0x7ff) - 1023;
}

/** Rounds float64 numbers to the nearest of a type, ties to even; beyond its range to infinity, below it to subnormals. */
export function roundTo(dtype: ReducedDType): (x: number) => number {
  const { digits, least, most } = formats[dtype];
  const beyond = 2 ** (most + 1);
  return (x) => {
    if (!Number.isFinite(x)) return x;
    const unit = 2 ** (Math.max(exponentOf(x), least) - digits + 1);
    const rounded = (x / unit + INTEGER - INTEGER) * unit;
    if (Math.abs(rounded) >= beyond) return x > 0 ? Infinity : -Infinity;
    // A zero keeps its sign.
    return rounded === 0 ? 0 * x : rounded;
  };
}
