/** Initialisation as torchvision and PyTorch do it. */

import type { Params } from '../encoder.ts';
import { drawsNothing, type Rng } from '../rng.ts';
import { filled, type Shape, sizeOf, type Tensor } from '../tensor/tensor.ts';

/** The random stream of each parameter, by name. */
export type ParameterRandom = (parameter: string) => Rng;

function drawn(shape: Shape, random: Rng, draw: () => number): Tensor {
  const data = new Float32Array(sizeOf(shape));
  // Zeros are there already, and what is not touched takes no memory.
  if (!drawsNothing(random)) for (let i = 0; i < data.length; i++) data[i] = draw();
  return { shape, dtype: 'float32', data };
}

/** Normal values with the standard deviation sqrt(2 / fan-out) (He et al., arXiv 1502.01852). shape [O, I, kH, kW]. */
export function kaimingNormalFanOut(shape: Shape, random: Rng): Tensor {
  const fanOut = shape[0]! * sizeOf(shape.slice(2));
  const deviation = Math.sqrt(2 / fanOut);
  return drawn(shape, random, () => random.normal() * deviation);
}

/** Uniform values in [-bound, bound). */
export function uniformWithin(shape: Shape, bound: number, random: Rng): Tensor {
  return drawn(shape, random, () => random.uniform(-bound, bound));
}

/** Uniform values within sqrt(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010). */
export function xavierUniform(shape: Shape, inputs: number, outputs: number, random: Rng): Tensor {
  return uniformWithin(shape, Math.sqrt(6 / (inputs + outputs)), random);
}

/** Normal values. */
export function normalOf(shape: Shape, deviation: number, random: Rng): Tensor {
  return drawn(shape, random, () => random.normal() * deviation);
}

/** The parameter of {@link conv}. */
export function initConv(params: Params, name: string, shape: Shape, random: ParameterRandom): void {
  const weight = `${name}.weight`;
  params[weight] = kaimingNormalFanOut(shape, random(weight));
}

/** The parameters of {@link linear}, PyTorch's default: uniform within 1/sqrt(inputs), weight and bias. */
export function initLinear(
  params: Params,
  name: string,
  inputs: number,
  outputs: number,
  random: ParameterRandom,
): void {
  const bound = 1 / Math.sqrt(inputs);
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  params[weight] = uniformWithin([outputs, inputs], bound, random(weight));
  params[bias] = uniformWithin([outputs], bound, random(bias));
}

/** The parameters and buffers of {@link batchNorm}. */
export function initBatchNorm(params: Params, name: string, channels: number): void {
  params[`${name}.weight`] = filled([channels], 1);
  params[`${name}.bias`] = filled([channels], 0);
  params[`${name}.running_mean`] = filled([channels], 0);
  params[`${name}.running_var`] = filled([channels], 1);
}

/** The parameters of {@link layerNorm}. */
export function initLayerNorm(params: Params, name: string, dim: number): void {
  params[`${name}.weight`] = filled([dim], 1);
  params[`${name}.bias`] = filled([dim], 0);
}

/** The parameters of {@link linear} as transformers start them: Xavier uniform weight, bias 0. */
export function initLinearXavier(
  params: Params,
  name: string,
  inputs: number,
  outputs: number,
  random: ParameterRandom,
): void {
  const weight = `${name}.weight`;
  params[weight] = xavierUniform([outputs, inputs], inputs, outputs, random(weight));
  params[`${name}.bias`] = filled([outputs], 0);
}
