/** The largest finite value of IEEE 754 binary16. */
export const largestHalf = 65504;

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** The bits of the nearest binary16, halves to even. Beyond {@link largestHalf} it is infinite. */
export function halfBits(value: number): number {
  word[0] = value;
  const x = bits[0]!;
  const sign = (x >>> 16) & 0x8000;
  const exponent = ((x >>> 23) & 0xff) - 127;
  const fraction = x & 0x7fffff;
  if (exponent === 128) return sign | 0x7c00 | (fraction ? 0x200 : 0);
  if (exponent < -25) return sign;
  // Below 2^-14 the numbers are 2^-24 apart.
  const shift = exponent < -14 ? -1 - exponent : 13;
  const significand = exponent < -14 ? fraction | 0x800000 : ((exponent + 15) << 23) | fraction;
  const kept = significand >>> shift;
  const rest = significand - kept * 2 ** shift;
  const middle = 2 ** (shift - 1);
  const up = rest > middle || (rest === middle && (kept & 1) === 1) ? 1 : 0;
  // A carry goes into the exponent, and from the largest to infinity.
  return sign | Math.min(kept + up, 0x7c00);
}
