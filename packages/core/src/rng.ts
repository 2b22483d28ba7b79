/**
 * Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11).
 *
 * A stream is a pure function of (seed, purpose, index...), so that any worker, in any order, draws the same values.
 */
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** The high 32 bits of a 32 x 32 bit product. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = aHigh * bLow + ((aLow * bLow) >>> 16);
  const mid = aLow * bHigh + (cross & 0xffff);
  return (aHigh * bHigh + Math.floor(cross / 0x10000) + Math.floor(mid / 0x10000)) >>> 0;
}

/**
 * One block of Philox4x32-10, written into `out`.
 * @param counter four 32-bit words
 * @param key two 32-bit words
 */
export function philox(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0]! >>> 0;
  let c1 = counter[1]! >>> 0;
  let c2 = counter[2]! >>> 0;
  let c3 = counter[3]! >>> 0;
  let k0 = key[0]! >>> 0;
  let k1 = key[1]! >>> 0;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** FNV-1a: names of purposes as 32-bit words. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A stream of random values. Made by {@link rng}. */
export interface Rng {
  /** An integer in [0, 2^32). */
  uint32(): number;
  /** A number in [low, high), by default [0, 1), with 53 random bits. */
  uniform(low?: number, high?: number): number;
  /** A standard normal value (Box-Muller). */
  normal(): number;
  /** An integer in [0, bound), without modulo bias. Throws RangeError unless 1 <= bound <= 2^32. */
  integer(bound: number): number;
  /** The numbers 0..n-1 in random order (Fisher-Yates). */
  permutation(n: number): Int32Array;
}

/**
 * The random stream for one purpose.
 * @param seed an integer in [0, 2^32)
 * @param purpose a name, such as `'views'`: streams of different purposes are independent
 * @param index up to two integers in [0, 2^32), such as (epoch, image)
 */
export function rng(seed: number, purpose: string, ...index: [number?, number?]): Rng {
  const key = [seed >>> 0, hashName(purpose)];
  const counter = new Uint32Array([0, 0, (index[0] ?? 0) >>> 0, (index[1] ?? 0) >>> 0]);
  const block = new Uint32Array(4);
  let used = 4;
  let spare = Number.NaN;

  function uint32(): number {
    if (used === 4) {
      philox(counter, key, block);
      counter[0]!++;
      used = 0;
    }
    return block[used++]!;
  }
  function uniform(low = 0, high = 1): number {
    const bits = (uint32() >>> 5) * 0x4000000 + (uint32() >>> 6);
    return low + (high - low) * (bits / 0x20000000000000);
  }
  function normal(): number {
    if (!Number.isNaN(spare)) {
      const value = spare;
      spare = Number.NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
  function integer(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 0x100000000)
      throw new RangeError(`there are no 32-bit integers in [0, ${bound})`);
    const limit = 0x100000000 - (0x100000000 % bound);
    for (;;) {
      const value = uint32();
      if (value < limit) return value % bound;
    }
  }
  function permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = integer(i + 1);
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    return order;
  }
  return { uint32, uniform, normal, integer, permutation };
}

const zeros: Rng = {
  uint32: () => 0,
  uniform: () => 0,
  normal: () => 0,
  integer: () => 0,
  permutation: (n) => new Int32Array(n),
};

/** Draws zeros, without time or memory for large tensors: for initialisers of which the shapes alone are wanted. */
export const noRandom = (): Rng => zeros;

/** Whether a stream is of {@link noRandom}. */
export const drawsNothing = (random: Rng): boolean => random === zeros;
