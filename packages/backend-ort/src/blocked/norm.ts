/**
 * Batch normalisation on blocked data. Per-channel work is depthwise convolution there: an affine map is a 1x1 filter
 * with a bias, and a sum of products over each map is one map under the other as its filter.
 */
import { type Shape4, sizeOf } from '@moco-ts/core';
import { inverseDeviation } from '@moco-ts/onnx';
import { type BlockedLowering, nchwc } from './lowering.ts';
import type { BlockedRule } from './rules.ts';

/** x times a factor for each channel, plus a bias for each, plus an addend of the same shape. */
function affine(
  lowering: BlockedLowering,
  x: string,
  channels: number,
  factor: string,
  bias: string,
  addend = '',
  relu = false,
): string {
  const filter = lowering.reshape(factor, [channels, 1, 1, 1]);
  const inputs = addend === '' ? [x, filter, bias] : [x, filter, bias, addend];
  const attributes = { kernel_shape: [1, 1], group: channels, ...(relu ? { activation: 'Relu' } : {}) };
  return lowering.onnx.op('Conv', inputs, attributes, nchwc);
}

/** The sums over pictures and positions of a * b, by channel: [C]. */
function channelDot(lowering: BlockedLowering, a: string, b: string, shape: Shape4): string {
  const { onnx } = lowering;
  const [batch, channels, height, width] = shape;
  const planes = batch * channels;
  const map = lowering.reshape(a, [1, planes, height, width]);
  const filter = lowering.reshape(b, [planes, 1, height, width]);
  const dots = onnx.op('Conv', [map, filter], { kernel_shape: [height, width], group: planes }, nchwc);
  const sums = lowering.reshape(dots, [batch, channels]);
  return onnx.op('ReduceSum', [sums, onnx.ints([0])], { keepdims: 0 });
}

/** The means over pictures and positions, by channel: [C]. */
function channelMean(lowering: BlockedLowering, x: string, [batch, channels]: Shape4): string {
  const { onnx } = lowering;
  const means = lowering.reshape(onnx.op('GlobalAveragePool', [x], {}, nchwc), [batch, channels]);
  return onnx.op('ReduceMean', [means, onnx.ints([0])], { keepdims: 0 });
}

/** x less its channels' means, in the `data` layout: made once, read by forward and backward. */
function centre(lowering: BlockedLowering, x: number, mean: number): string {
  const { onnx } = lowering;
  const channels = lowering.shape(x)[1]!;
  return lowering.once(`${x} centred by ${mean}, blocked`, () =>
    affine(
      lowering,
      lowering.data(x),
      channels,
      onnx.full([channels], 1),
      onnx.op('Neg', [lowering.get(mean)]),
    ),
  );
}

export const batchNorm: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [x, gamma, beta] = inputs as [number, number, number];
  const [y, mean, variance] = outputs as [number, number, number];
  if (!lowering.fitsData(x)) return false;
  const { onnx } = lowering;
  const shape = lowering.shape(x) as Shape4;
  const count = sizeOf(shape) / shape[1];
  lowering.set(mean, channelMean(lowering, lowering.data(x), shape));
  const centred = centre(lowering, x, mean);
  const squares = channelDot(lowering, centred, centred, shape);
  lowering.set(variance, onnx.op('Mul', [squares, onnx.scalar(1 / count)]));
  const deviation = inverseDeviation(lowering, variance, attrs.epsilon as number);
  const factor = onnx.op('Mul', [lowering.get(gamma), deviation]);
  lowering.defer(y, {
    emit: (addend, relu) => affine(lowering, centred, shape[1], factor, lowering.get(beta), addend, relu),
  });
  return true;
};

export const batchNormGrad: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [dy, x, gamma, mean, variance] = inputs as [number, number, number, number, number];
  const [dx, dGamma, dBeta] = outputs as [number, number, number];
  if (!lowering.fitsData(x)) return false;
  const { onnx } = lowering;
  const shape = lowering.shape(x) as Shape4;
  const count = sizeOf(shape) / shape[1];
  const centred = centre(lowering, x, mean);
  const deviation = inverseDeviation(lowering, variance, attrs.epsilon as number);
  const gradient = lowering.data(dy);
  const average = channelMean(lowering, gradient, shape);
  const projected = onnx.op('Mul', [channelDot(lowering, gradient, centred, shape), deviation]);
  // dx = s (dy - mean(dy)) - s r^2 mean(dy c) c, with c the centred input, r the inverse deviation, s = gamma r.
  const scale = onnx.op('Mul', [lowering.get(gamma), deviation]);
  const slope = onnx.op('Mul', [onnx.op('Mul', [projected, deviation]), onnx.scalar(-1 / count)]);
  const bias = onnx.op('Neg', [onnx.op('Mul', [scale, average])]);
  const along = affine(lowering, centred, shape[1], onnx.op('Mul', [scale, slope]), bias);
  const zero = onnx.full([shape[1]], 0);
  lowering.setIn('data', dx, affine(lowering, gradient, shape[1], scale, zero, along));
  lowering.set(dGamma, projected);
  lowering.set(dBeta, onnx.op('Mul', [average, onnx.scalar(count)]));
  return true;
};
