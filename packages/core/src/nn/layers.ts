/** Layers as functions of traced values; each reads its parameters by PyTorch's names under `name`. */
import type { ForwardContext, TracedParams } from '../encoder.ts';
import { ShapeError } from '../errors.ts';
import { allGather } from '../graph/ops/collective.ts';
import { type ConvOptions, conv2d } from '../graph/ops/conv.ts';
import { add, div, maximum, mul, sqrt, sub } from '../graph/ops/elementwise.ts';
import { layerNorm as layerNormOp } from '../graph/ops/layer-norm.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { batchNormInference, batchNorm as batchNormOp } from '../graph/ops/norm.ts';
import { mean, sum } from '../graph/ops/reduce.ts';
import { broadcastTo, concat, reshape } from '../graph/ops/shape.ts';
import { split } from '../graph/ops/split.ts';
import type { Traced } from '../graph/trace.ts';
import { filled, sizeOf } from '../tensor/tensor.ts';

/** PyTorch's defaults of BatchNorm2d. */
export const batchNormEpsilon = 1e-5;
export const batchNormMomentum = 0.1;

/** The parameter `name`. Throws ShapeError when it is missing. */
export function parameter(params: TracedParams, name: string): Traced {
  const value = params[name];
  if (!value) throw new ShapeError(`the parameter "${name}" is missing`);
  return value;
}

/**
 * Marks the end of a block and gives it back. With {@link ForwardContext.checkpointActivations} it stays in memory for the
 * backward pass, which computes what lies between it and the end before again (Chen et al., arXiv 1604.06174). An encoder marks
 * each of its blocks; one that marks none keeps everything.
 */
export function endBlock({ checkpointActivations = false }: ForwardContext, x: Traced): Traced {
  if (checkpointActivations) x.builder.endBlock(x);
  return x;
}

/** A convolution without bias: `name.weight` [O, C/groups, kH, kW]. */
export function conv(params: TracedParams, name: string, x: Traced, options?: ConvOptions): Traced {
  return conv2d(x, parameter(params, `${name}.weight`), options);
}

/** A convolution with bias: {@link conv} and `name.bias` [O]. */
export function convWithBias(params: TracedParams, name: string, x: Traced, options?: ConvOptions): Traced {
  const bias = parameter(params, `${name}.bias`);
  return add(conv(params, name, x, options), reshape(bias, [1, bias.shape[0]!, 1, 1]));
}

/** A fully connected layer: `name.weight` [O, I] and `name.bias` [O]. x [..., I] to [..., O]. */
export function linear(params: TracedParams, name: string, x: Traced): Traced {
  const weight = parameter(params, `${name}.weight`);
  const lead = x.shape.slice(0, -1);
  // Flatten all axes but the last: forward pass and weight gradient are then one matrix product each.
  const rows = reshape(x, [sizeOf(lead), x.shape.at(-1)!]);
  const product = add(matmul(rows, weight, { transposeB: true }), parameter(params, `${name}.bias`));
  return reshape(product, [...lead, weight.shape[0]!]);
}

/** Layer normalisation over the last axis: `name.weight` and `name.bias` [D]. x [..., D]. */
export function layerNorm(params: TracedParams, name: string, x: Traced, epsilon: number): Traced {
  return layerNormOp(x, parameter(params, `${name}.weight`), parameter(params, `${name}.bias`), epsilon)[0];
}

/**
 * Batch normalisation of [N, C, ...]. In training the batch is seen as `splits` groups (sample n in group n mod splits),
 * each normalised by its own statistics, or with `replicas` by those of that group on all replicas; the running ones follow the mean
 * of the groups', variances unbiased.
 * @throws ShapeError when a group would have fewer than two values for each channel
 */
export function batchNorm(context: ForwardContext, params: TracedParams, name: string, x: Traced): Traced {
  const gamma = parameter(params, `${name}.weight`);
  const beta = parameter(params, `${name}.bias`);
  const runningMean = parameter(params, `${name}.running_mean`);
  const runningVar = parameter(params, `${name}.running_var`);
  if (!context.training) return batchNormInference(x, gamma, beta, runningMean, runningVar, batchNormEpsilon);

  const { splits, replicas = 1 } = context.normalization;
  const [batch, channels, ...rest] = x.shape as [number, number, ...number[]];
  const count = ((replicas * batch) / splits) * sizeOf(rest);
  if (batch % splits !== 0 || count < 2)
    throw new ShapeError(`${name}: a batch of ${batch} can't be normalised in ${splits} groups`);
  const repeat = (vector: Traced) =>
    reshape(broadcastTo(reshape(vector, [1, channels]), [splits, channels]), [splits * channels]);
  const grouped = reshape(x, [batch / splits, splits * channels, ...rest]);
  const [scale, shift] = [repeat(gamma), repeat(beta)];
  const normalised =
    replicas === 1
      ? batchNormOp(grouped, scale, shift, batchNormEpsilon)
      : syncBatchNorm(grouped, scale, shift, replicas);
  const [y, batchMean, batchVar] = normalised;
  const follow = (running: Traced, seen: Traced, factor: number) => {
    const average = mean(reshape(seen, [splits, channels]), [0]);
    return add(mul(running, 1 - batchNormMomentum), mul(average, batchNormMomentum * factor));
  };
  context.updates.set(`${name}.running_mean`, follow(runningMean, batchMean, 1));
  context.updates.set(`${name}.running_var`, follow(runningVar, batchVar, count / (count - 1)));
  return reshape(y, x.shape);
}

/**
 * Batch normalisation by the statistics of all replicas, which are of as many values each: mean and variance of each replica, gathered,
 * give those of all. Gradients flow through them.
 * @returns y, and the mean and biased variance over all replicas
 */
function syncBatchNorm(
  x: Traced,
  gamma: Traced,
  beta: Traced,
  replicas: number,
): [y: Traced, mean: Traced, variance: Traced] {
  const channels = gamma.shape[0]!;
  const [one, zero] = [1, 0].map((value) => x.builder.constant(filled([channels], value)));
  const [, ...own] = batchNormOp(x, one!, zero!, batchNormEpsilon);
  const gathered = allGather(reshape(concat(own, 0), [1, 2 * channels]), replicas);
  const [means, variances] = split(gathered, 1, [channels, channels]) as [Traced, Traced];
  const average = mean(means, [0]);
  const apart = sub(means, average);
  const variance = mean(add(variances, mul(apart, apart)), [0]);
  return [batchNormInference(x, gamma, beta, average, variance, batchNormEpsilon), average, variance];
}

/** Rows scaled to unit length, x / max(|x|, 1e-12), as PyTorch's normalize. x [N, D]. */
export function normalize(x: Traced): Traced {
  // The bound inside the root: at a row of zeros the root alone would have an infinite slope.
  return div(x, sqrt(maximum(sum(mul(x, x), [1], true), 1e-24)));
}
