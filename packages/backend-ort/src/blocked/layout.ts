/**
 * The blocked layouts of ONNX Runtime's com.microsoft.nchwc domain. Tensors keep their NCHW or OIHW shape in the
 * model; only the order of the elements in memory differs. B is the block, 16 on AVX-512 and 8 on AVX2.
 */
import { type Shape, type Shape4, sizeOf } from '@moco-ts/core';

/**
 * `data`: [N, C, H, W] stored as [N, C/B, H, W, B].
 * `filter`: [O, I, kH, kW] stored as [O/B, I/B, kH, kW, B of I, B of O].
 */
export type Layout = 'plain' | 'data' | 'filter';

/** Whether a shape can be stored as `data`. */
export function fitsData(shape: Shape, block: number): boolean {
  return shape.length === 4 && shape[1]! % block === 0;
}

/** Whether a shape can be stored as `filter`. */
export function fitsFilter(shape: Shape, block: number): boolean {
  return shape.length === 4 && shape[0]! % block === 0 && shape[1]! % block === 0;
}

/** Smaller tensors aren't worth the reshapes. */
const tileFrom = 4096;

/** Lines of a flattened tile are short enough that each thread gets some. */
const tileWidth = 256;

/**
 * A large tensor as a flattened tile, [1, B, h, w] of `data`: its elements in memory order, for arithmetic that asks for
 * nothing else. undefined for values that are small or no multiple of the block.
 */
export function tileShape(shape: Shape, block: number): Shape | undefined {
  const size = sizeOf(shape);
  if (size < tileFrom || size % block !== 0) return undefined;
  const pixels = size / block;
  let width = tileWidth;
  while (pixels % width !== 0) width--;
  return [1, block, pixels / width, width];
}

/** Calls back with the plain and the blocked offset of each element of a filter. */
function eachFilterElement(
  shape: Shape,
  block: number,
  visit: (plain: number, blocked: number) => void,
): void {
  const [outputs, inputs, height, width] = shape as Shape4;
  const taps = height * width;
  for (let o = 0; o < outputs; o++)
    for (let i = 0; i < inputs; i++) {
      const outer = Math.floor(o / block) * (inputs / block) + Math.floor(i / block);
      for (let tap = 0; tap < taps; tap++) {
        const inner = (outer * taps + tap) * block + (i % block);
        visit((o * inputs + i) * taps + tap, inner * block + (o % block));
      }
    }
}

export function blockFilter(plain: Float32Array, shape: Shape, block: number): Float32Array {
  const blocked = new Float32Array(plain.length);
  eachFilterElement(shape, block, (from, to) => {
    blocked[to] = plain[from]!;
  });
  return blocked;
}

export function unblockFilter(blocked: Float32Array, shape: Shape, block: number): Float32Array {
  const plain = new Float32Array(blocked.length);
  eachFilterElement(shape, block, (to, from) => {
    plain[to] = blocked[from]!;
  });
  return plain;
}
