/** Batch normalisation by the fused kernels of TensorFlow's library, which take maps with the channels last. */
import type { Attributes } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';

/** What is used of tfjs-node's backend, which has no types for it. */
interface NativeBackend {
  readonly binding: Readonly<
    Record<'TF_ATTR_FLOAT' | 'TF_ATTR_STRING' | 'TF_ATTR_BOOL' | 'TF_ATTR_TYPE' | 'TF_FLOAT', number>
  >;
  readonly isUsingGpuDevice: boolean;
  executeMultipleOutputs(op: string, attrs: object[], inputs: tf.Tensor[], outputs: number): tf.Tensor[];
}

/**
 * Whether the fused kernels are available and faster: not for groups of images, which they would take one by one. On a GPU they
 * keep another statistic for the gradient than on a CPU (TensorFlow's FusedBatchNorm, reserve_space_2), and are not used.
 */
export function isFused(x: tf.Tensor, { layout, groups = 1 }: Attributes): boolean {
  if (layout !== 'last' || groups !== 1 || tf.getBackend() !== 'tensorflow') return false;
  // A single value has no unbiased variance, which is what the kernel gives.
  return x.size > x.shape.at(-1)! && !(tf.backend() as unknown as NativeBackend).isUsingGpuDevice;
}

function run(op: string, inputs: tf.Tensor[], { epsilon }: Attributes): tf.Tensor[] {
  const native = tf.backend() as unknown as NativeBackend;
  const { binding } = native;
  const attrs = [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: epsilon },
    { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' },
    { name: 'is_training', type: binding.TF_ATTR_BOOL, value: true },
  ];
  return native.executeMultipleOutputs(op, attrs, inputs, 5);
}

/** @returns y, the mean and the biased variance */
export function fusedBatchNorm(
  [x, gamma, beta]: readonly tf.Tensor[],
  attrs: Attributes,
): [y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor] {
  const nothing = tf.zeros([0]);
  const [y, mean, unbiased] = run('FusedBatchNorm', [x!, gamma!, beta!, nothing, nothing], attrs);
  const count = x!.size / gamma!.size;
  return [y!, mean!, tf.mul(unbiased!, (count - 1) / count)];
}

/** @returns the gradients by x, gamma and beta */
export function fusedBatchNormGrad(
  [dy, x, gamma, mean, variance]: readonly tf.Tensor[],
  attrs: Attributes,
): [dx: tf.Tensor, dGamma: tf.Tensor, dBeta: tf.Tensor] {
  const [dx, dGamma, dBeta] = run('FusedBatchNormGrad', [dy!, x!, gamma!, mean!, variance!], attrs);
  return [dx!, dGamma!, dBeta!];
}
