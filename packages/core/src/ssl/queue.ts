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
  const data = new Float32Array(dim * size);
  const column = new Float64Array(dim);
  for (let k = 0; k < size; k++) {
    let square = 0;
    for (let d = 0; d < dim; d++) {
      column[d] = random.normal();
      square += column[d]! ** 2;
    }
    for (let d = 0; d < dim; d++) data[d * size + k] = column[d]! / Math.sqrt(square);
  }
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
