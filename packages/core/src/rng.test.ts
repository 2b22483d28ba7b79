import { describe, expect, it } from 'vitest';
import { philox, rng } from './rng.ts';

describe('philox4x32-10', () => {
  // Known-answer vectors of Random123 1.14 (kat_vectors, philox 4x32 10).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('counter %j, key %j', (counter, key, expected) => {
    const out = new Uint32Array(4);
    philox(counter, key, out);
    expect([...out]).toEqual(expected);
  });
});

describe('rng', () => {
  it('is a function of seed, purpose and index', () => {
    const draw = (...args: Parameters<typeof rng>) => Array.from({ length: 9 }, rng(...args).uint32);
    expect(draw(1, 'a', 2, 3)).toEqual(draw(1, 'a', 2, 3));
    for (const other of [draw(2, 'a', 2, 3), draw(1, 'b', 2, 3), draw(1, 'a', 3, 3), draw(1, 'a', 2, 4)])
      expect(other).not.toEqual(draw(1, 'a', 2, 3));
  });
  it('has the moments of its distributions', () => {
    const stream = rng(0, 'moments');
    const n = 20_000;
    let mean = 0;
    let square = 0;
    let uniform = 0;
    for (let i = 0; i < n; i++) {
      const value = stream.normal();
      mean += value / n;
      square += value ** 2 / n;
      uniform += stream.uniform(2, 4) / n;
    }
    // Four standard errors of each estimate.
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(n));
    expect(Math.abs(square - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
    expect(Math.abs(uniform - 3)).toBeLessThan((4 * 2) / Math.sqrt(12 * n));
  });
  it('permutes', () => {
    const order = rng(0, 'order').permutation(257);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 257 }, (_, i) => i));
    expect([...order]).not.toEqual([...order].sort((a, b) => a - b));
  });
});
