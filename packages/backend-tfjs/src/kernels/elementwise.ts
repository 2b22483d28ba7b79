import type { Tensor as HostTensor } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { toDevice } from '../tensors.ts';
import type { Kernel, Kernels } from './kernel.ts';

const unary =
  (compute: (x: tf.Tensor) => tf.Tensor): Kernel =>
  ([x]) =>
    compute(x!);

const binary =
  (compute: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): Kernel =>
  ([a, b]) =>
    compute(a!, b!);

export const elementwise: Kernels = {
  constant: (_, { tensor }) => toDevice(tensor as HostTensor),
  neg: unary(tf.neg),
  exp: unary(tf.exp),
  log: unary(tf.log),
  sqrt: unary(tf.sqrt),
  tanh: unary(tf.tanh),
  abs: unary(tf.abs),
  erf: unary(tf.erf),
  relu: unary(tf.relu),
  stopGradient: unary(tf.clone),
  add: binary(tf.add),
  sub: binary(tf.sub),
  mul: binary(tf.mul),
  div: binary(tf.div),
  maximum: binary(tf.maximum),
  greater: binary(tf.greater),
  greaterEqual: binary(tf.greaterEqual),
  less: binary(tf.less),
  equal: binary(tf.equal),
  reluGrad: ([dy, y]) => tf.mul(dy!, tf.cast(tf.greater(y!, 0), 'float32')),
  select: ([condition, a, b]) => tf.where(condition! as tf.Tensor, a!, b!),
  cast: ([x], { dtype }) => {
    if (dtype === 'bool') return tf.notEqual(x!, tf.scalar(0, x!.dtype === 'float32' ? 'float32' : 'int32'));
    return tf.cast(x!, dtype === 'float32' ? 'float32' : 'int32');
  },
};
