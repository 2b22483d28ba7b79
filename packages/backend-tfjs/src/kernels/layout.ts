/** Maps in the graph's own layout, [N, C, H, W], and with the channels last, [N, H, W, C], as tfjs convolves them. */
import type { Attributes, Shape, Shape4 } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';

/** What a transposition takes to put the channels last, and to put them back. */
export const last = [0, 2, 3, 1];
export const second = [0, 3, 1, 2];
export const permuted = (shape: Shape, permutation: readonly number[]): number[] =>
  permutation.map((axis) => shape[axis]!);

/** Whether a node's maps have the channels last: see channelsLast. */
const isLast = ({ layout }: Attributes) => layout === 'last';

/** A node's map with the channels last. */
export function asLast(x: tf.Tensor, attrs: Attributes): tf.Tensor4D {
  return (isLast(attrs) ? x : tf.transpose(x, last)) as tf.Tensor4D;
}

/** A map with the channels last as the node gives it. */
export function fromLast(y: tf.Tensor, attrs: Attributes): tf.Tensor {
  return isLast(attrs) ? y : tf.transpose(y, second);
}

/** The extents of a node's map in the order [N, H, W, C]. */
export function lastShape(shape: Shape, attrs: Attributes): Shape4 {
  return (isLast(attrs) ? shape : permuted(shape, last)) as unknown as Shape4;
}
