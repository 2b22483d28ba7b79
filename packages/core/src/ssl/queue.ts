/** The queue of keys (MoCo, section 3.2): a ring buffer of the newest K keys. */
import { add, cast, greaterEqual, select, sub } from '../graph/ops/elementwise.ts';
import { updateSlice } from '../graph/ops/index-ops.ts';
import { transpose } from '../graph/ops/shape.ts';
import type { Traced } from '../graph/trace.ts';
import { rng } from '../rng.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Normalised Gaussian noise: K random points on the sphere. [dim, K]. */
export function initQueue(dim: number, size: number, seed: number): Tensor {
  const random = rng(seed, 'queue');
  const noise = Float64Array.from({ length: dim * size }, () => random.normal());
  const squares = new Float64Array(size);
  noise.forEach((value, at) => {
    squares[at % size]! += value ** 2;
  });
  const data = Float32Array.from(noise, (value, at) => value / Math.sqrt(squares[at % size]!));
  return { shape: [dim, size], dtype: 'float32', data };
}

/**
 * Overwrites the oldest keys by the newest.
 * @param queue [dim, K]
 * @param pointer int32 scalar: the oldest key's column
 * @param keys [M, dim], M dividing K
 * @returns the queue and pointer after the write
 */
export function enqueue(queue: Traced, pointer: Traced, keys: Traced): { queue: Traced; pointer: Traced } {
  const size = queue.shape[1]!;
  const next = add(cast(pointer, 'float32'), keys.shape[0]!);
  const wrapped = select(greaterEqual(next, size), sub(next, size), next);
  return { queue: updateSlice(queue, transpose(keys), pointer, 1), pointer: cast(wrapped, 'int32') };
}
