import type { Attributes } from '../graph/graph.ts';
import { type Shape, sizeOf, stridesOf, type TensorType } from '../tensor/tensor.ts';

/** A value inside the oracle: every dtype as float64. */
export interface Reference {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** Computes a node's outputs from its inputs, in the simplest way. */
export type Kernel = (
  inputs: readonly Reference[],
  attrs: Attributes,
  outputs: readonly TensorType[],
) => Float64Array[];

/** The multi-index of each element in turn; the same array each time. */
export function* indices(shape: Shape): Generator<number[]> {
  const index = shape.map(() => 0);
  const size = sizeOf(shape);
  for (let count = 0; count < size; count++) {
    yield index;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** Where a multi-index of a broadcast shape falls in an operand. */
export function offsetIn(operand: Shape, index: readonly number[]): number {
  const strides = stridesOf(operand);
  const lead = index.length - operand.length;
  let offset = 0;
  for (let axis = 0; axis < operand.length; axis++)
    if (operand[axis] !== 1) offset += index[axis + lead]! * strides[axis]!;
  return offset;
}

/** Fills an output by a function of the multi-index. */
export function fill(shape: Shape, value: (index: readonly number[]) => number): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  let i = 0;
  for (const index of indices(shape)) out[i++] = value(index);
  return out;
}
