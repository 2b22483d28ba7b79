import { describe, expect, it } from 'vitest';
import { halfBits } from './float16.ts';

/** IEEE 754-2019, section 3.4: sign, 5 bits of exponent with bias 15, 10 of fraction. */
function halfValue(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe('binary16', () => {
  it('holds its own 63,488 finite values exactly', () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x10000; bits++)
      if (Number.isFinite(halfValue(bits)) && halfBits(halfValue(bits)) !== bits) wrong.push(bits);
    expect(wrong).toEqual([]);
  });

  it('rounds to the nearest, and halfway to the even one', () => {
    const wrong: number[] = [];
    for (let low = 0; low < 0x7bff; low++) {
      const [a, b] = [halfValue(low), halfValue(low + 1)];
      const middle = (a + b) / 2;
      const even = low % 2 === 0 ? low : low + 1;
      if (halfBits(middle) !== even) wrong.push(low);
      if (halfBits(Math.fround(middle + (b - a) / 64)) !== low + 1) wrong.push(low);
      if (halfBits(Math.fround(middle - (b - a) / 64)) !== low) wrong.push(low);
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    [65519, 0x7bff],
    [65520, 0x7c00],
    [1e9, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
    [2 ** -25, 0],
    [-0, 0x8000],
    [Number.NaN, 0x7e00],
  ])('%d is %d', (value, expected) => {
    expect(halfBits(value)).toBe(expected);
  });
});
