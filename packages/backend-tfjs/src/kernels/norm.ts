/** Normalisations, in the stable two-pass form: the mean first, then everything from the centred values. */
import type { Attributes } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Kernel, Kernels } from './kernel.ts';
import { fusedBatchNorm, fusedBatchNormGrad, isFused } from './norm-native.ts';

const epsilonOf = (attrs: Attributes) => attrs.epsilon as number;

/**
 * Maps as something that vectors of a value per channel broadcast over, and sums over all but the channels:
 * [N, C, ...] as [N, C, rest]; with the channels last, in groups of images, [N, H, W, C] as [N / groups, groups, H W, C].
 */
function byChannel(x: tf.Tensor, attrs: Attributes) {
  const [batch, channels] = x.shape as [number, number];
  const rest = x.size / (batch * channels);
  if (attrs.layout !== 'last')
    return {
      count: batch * rest,
      flat: (value: tf.Tensor) => tf.reshape(value, [batch, channels, rest]),
      along: (vector: tf.Tensor) => tf.reshape(vector, [1, channels, 1]),
      // Maps first, then images: long sums in float32 lose digits.
      sum: (value: tf.Tensor) => tf.sum(tf.sum(value, 2), 0),
    };
  const groups = groupsOf(attrs);
  const last = x.shape.at(-1)!;
  const places = x.size / (batch * last);
  return {
    count: (batch / groups) * places,
    flat: (value: tf.Tensor) => tf.reshape(value, [batch / groups, groups, places, last]),
    along: (vector: tf.Tensor) => tf.reshape(vector, [1, groups, 1, last]),
    sum: (value: tf.Tensor) => tf.reshape(tf.sum(tf.sum(value, 2), 0), [groups * last]),
  };
}

const groupsOf = ({ groups = 1 }: Attributes) => groups as number;

const inverse = (variance: tf.Tensor, attrs: Attributes) =>
  tf.div(1, tf.sqrt(tf.add(variance, epsilonOf(attrs))));

const batchNorm: Kernel = (inputs, attrs) => {
  const [x, gamma, beta] = inputs;
  if (isFused(x!, attrs)) return fusedBatchNorm(inputs, attrs);
  const { count, flat, along, sum } = byChannel(x!, attrs);
  const mean = tf.div(sum(flat(x!)), count);
  const centred = tf.sub(flat(x!), along(mean));
  const variance = tf.div(sum(tf.mul(centred, centred)), count);
  const scale = along(tf.mul(gamma!, inverse(variance, attrs)));
  const y = tf.add(tf.mul(centred, scale), along(beta!));
  return [tf.reshape(y, x!.shape), mean, variance];
};

const batchNormGrad: Kernel = (inputs, attrs) => {
  const [dy, x, gamma, mean, variance] = inputs;
  if (isFused(x!, attrs)) return fusedBatchNormGrad(inputs, attrs);
  const { count, flat, along, sum } = byChannel(x!, attrs);
  const centred = tf.sub(flat(x!), along(mean!));
  const scale = inverse(variance!, attrs);
  const dBeta = sum(flat(dy!));
  const dGamma = tf.mul(sum(tf.mul(flat(dy!), centred)), scale);
  const slope = tf.div(tf.mul(dGamma, scale), count);
  const inner = tf.sub(tf.sub(flat(dy!), along(tf.div(dBeta, count))), tf.mul(centred, along(slope)));
  const dx = tf.mul(inner, along(tf.mul(gamma!, scale)));
  return [tf.reshape(dx, x!.shape), dGamma, dBeta];
};

const batchNormInference: Kernel = ([x, gamma, beta, mean, variance], attrs) => {
  const { flat, along } = byChannel(x!, attrs);
  const scale = along(tf.mul(gamma!, inverse(variance!, attrs)));
  const y = tf.add(tf.mul(tf.sub(flat(x!), along(mean!)), scale), along(beta!));
  return tf.reshape(y, x!.shape);
};

/** x [..., D] as rows [R, D]. */
const rows = (x: tf.Tensor) => tf.reshape(x, [-1, x.shape.at(-1)!]);

const layerNorm: Kernel = ([x, gamma, beta], attrs, [, perRow]) => {
  const flat = rows(x!);
  const mean = tf.mean(flat, 1, true);
  const centred = tf.sub(flat, mean);
  const scale = inverse(tf.mean(tf.mul(centred, centred), 1, true), attrs);
  const y = tf.add(tf.mul(tf.mul(centred, scale), gamma!), beta!);
  const shaped = (value: tf.Tensor) => tf.reshape(value, [...perRow!.shape]);
  return [tf.reshape(y, x!.shape), shaped(mean), shaped(scale)];
};

const layerNormGrad: Kernel = ([dy, x, gamma, mean, scale]) => {
  const column = (value: tf.Tensor) => tf.reshape(value, [-1, 1]);
  const normal = tf.mul(tf.sub(rows(x!), column(mean!)), column(scale!));
  const inner = tf.mul(rows(dy!), gamma!);
  const slope = tf.mean(tf.mul(inner, normal), 1, true);
  const change = tf.sub(tf.sub(inner, tf.mean(inner, 1, true)), tf.mul(normal, slope));
  const dx = tf.reshape(tf.mul(change, column(scale!)), x!.shape);
  return [dx, tf.sum(tf.mul(rows(dy!), normal), 0), tf.sum(rows(dy!), 0)];
};

/** The standard normal distribution. */
const distribution = (x: tf.Tensor) => tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
const density = (x: tf.Tensor) => tf.mul(tf.exp(tf.mul(tf.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));

export const norm: Kernels = {
  batchNorm,
  batchNormGrad,
  batchNormInference,
  layerNorm,
  layerNormGrad,
  softmax: ([x]) => tf.softmax(x!),
  softmaxMatmul: ([scores, values]) => {
    const weights = tf.softmax(scores!);
    return [tf.matMul(weights, values!), weights];
  },
  gelu: ([x]) => tf.mul(x!, distribution(x!)),
  geluGrad: ([dy, x]) => tf.mul(dy!, tf.add(distribution(x!), tf.mul(x!, density(x!)))),
};
