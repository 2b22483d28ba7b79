/** Products of matrices. */
import * as tf from '@tensorflow/tfjs-core';
import type { Kernels } from './kernel.ts';

const transposed = (x: tf.Tensor) => {
  const axes = x.shape.map((_, axis) => axis);
  return tf.transpose(x, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
};

export const matmul: Kernels = {
  matmul: ([a, b], { transposeA, transposeB }) => {
    // In wasm the product of transposed matrices is plain loops, 13 times as slow as the other.
    if (tf.getBackend() === 'wasm')
      return tf.matMul(transposeA ? transposed(a!) : a!, transposeB ? transposed(b!) : b!);
    return tf.matMul(a!, b!, transposeA === true, transposeB === true);
  },
};
