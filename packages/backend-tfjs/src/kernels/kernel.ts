import type { Attributes, Shape, TensorType } from '@moco-ts/core';
import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Computes a node's outputs. What it makes beside them is freed by the caller (tf.tidy); inputs are not.
 * Values are in the graph's own layout, [N, C, H, W], except at nodes that channelsLast has marked: theirs are [N, H, W, C].
 */
export type Kernel = (
  inputs: readonly Tensor[],
  attrs: Attributes,
  outputs: readonly TensorType[],
) => Tensor | readonly Tensor[];

export type Kernels = Readonly<Record<string, Kernel>>;

/** tfjs takes mutable arrays. */
export const dims = (shape: Shape): number[] => [...shape];
