import { type Shape, sizeOf } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { dims, type Kernel, type Kernels } from './kernel.ts';

const numbers = (value: unknown): number[] => [...(value as readonly number[])];

const reduction =
  (compute: (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor): Kernel =>
  ([x], attrs, [type]) => {
    const axes = numbers(attrs.axes);
    // tfjs takes no axes for all of them.
    if (axes.length === 0) return tf.clone(x!);
    return tf.reshape(compute(x!, axes, true), dims(type!.shape));
  };

/** Rows of zeros added along one axis of [before, extent, after]. */
function padAxis(x: tf.Tensor, axis: number, before: number, after: number): tf.Tensor {
  if (before === 0 && after === 0) return x;
  const outer = sizeOf(x.shape.slice(0, axis));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const extent = x.shape[axis]!;
  const view = tf.reshape(x, [outer, extent, inner]);
  const padded = tf.pad(view, [
    [0, 0],
    [before, after],
    [0, 0],
  ]);
  return tf.reshape(padded, [...x.shape.slice(0, axis), before + extent + after, ...x.shape.slice(axis + 1)]);
}

/** The part of [outer, extent, inner] from `start` on. */
function sliceAxis(x: tf.Tensor, axis: number, start: number, size: number): tf.Tensor {
  if (size === x.shape[axis]) return x;
  const outer = sizeOf(x.shape.slice(0, axis));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const view = tf.reshape(x, [outer, x.shape[axis]!, inner]);
  const part = tf.slice(view, [0, start, 0], [outer, size, inner]);
  return tf.reshape(part, [...x.shape.slice(0, axis), size, ...x.shape.slice(axis + 1)]);
}

export const shape: Kernels = {
  sum: reduction(tf.sum),
  mean: reduction(tf.mean),
  max: reduction(tf.max),
  reshape: ([x], _, [type]) => tf.reshape(x!, dims(type!.shape)),
  // Nodes run in the graph's order.
  barrier: ([x]) => tf.clone(x!),
  transpose: ([x], attrs) => tf.transpose(x!, numbers(attrs.permutation)),
  broadcastTo: ([x], _, [type]) => tf.broadcastTo(x!, dims(type!.shape)),
  slice: ([x], attrs) => {
    const [starts, sizes] = [numbers(attrs.starts), numbers(attrs.sizes)];
    return tf.clone(sizes.reduce((part, size, axis) => sliceAxis(part, axis, starts[axis]!, size), x!));
  },
  pad: ([x], attrs) => {
    const [before, after] = [numbers(attrs.before), numbers(attrs.after)];
    return tf.clone(before.reduce((part, amount, axis) => padAxis(part, axis, amount, after[axis]!), x!));
  },
  concat: (inputs, attrs) => tf.concat([...inputs], attrs.axis as number),
  split: ([x], attrs, types) => {
    let start = 0;
    return types.map((type) => {
      const size = type.shape[attrs.axis as number]!;
      start += size;
      return tf.clone(sliceAxis(x!, attrs.axis as number, start - size, size));
    });
  },
  gather: ([x, rows]) => tf.gather(x!, rows! as tf.Tensor1D),
  scatterAdd: ([x, rows], _, [type]) => {
    // Through two axes: not every backend's ScatterND takes more, or a vector.
    const width = sizeOf(type!.shape.slice(1));
    const count = rows!.shape[0]!;
    const wide = tf.reshape(x!, [count, width]);
    const scattered = tf.scatterND(tf.reshape(rows!, [count, 1]), wide, [type!.shape[0]!, width]);
    return tf.reshape(scattered, dims(type!.shape));
  },
  updateSlice: ([x, update, start], attrs) => {
    const axis = attrs.axis as number;
    const extent = x!.shape[axis]!;
    const count = update!.shape[axis]!;
    // The row of the update at each position, wrapping around.
    const places = tf.sub(tf.range(0, extent, 1, 'float32'), tf.cast(start!, 'float32'));
    const row = tf.add(places, tf.mul(tf.cast(tf.less(places, 0), 'float32'), extent));
    const along: Shape = x!.shape.map((_, a) => (a === axis ? extent : 1));
    const inside = tf.reshape(tf.cast(tf.less(row, count), 'float32'), dims(along));
    const spread = tf.gather(update!, tf.cast(tf.minimum(row, count - 1), 'int32') as tf.Tensor1D, axis);
    // By selection, not by weights: what is left out may be infinite.
    const mask = tf.greater(tf.broadcastTo(inside, x!.shape), 0);
    return tf.where(mask, spread, x!);
  },
};
