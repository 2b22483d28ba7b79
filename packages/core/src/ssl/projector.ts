/** Projectors and predictors with batch normalisation between their layers (MoCo v3). */
import type { ForwardContext, Params, TracedParams } from '../encoder.ts';
import { add, relu } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import type { Traced } from '../graph/trace.ts';
import { initBatchNorm, type ParameterRandom, uniformWithin } from '../nn/init.ts';
import { batchNorm, parameter } from '../nn/layers.ts';
import { filled } from '../tensor/tensor.ts';

export interface ProjectorConfig {
  /** Fully connected layers, at least 1. */
  readonly layers: number;
  readonly inputs: number;
  /** The width between layers. */
  readonly hidden: number;
  readonly outputs: number;
  /** Whether the last layer is normalised too, without scale and shift. */
  readonly lastNorm: boolean;
  /** Whether the last layer has a bias, which a normalisation behind it would undo. Default false. */
  readonly lastBias?: boolean;
}

const widths = ({ layers, inputs, hidden, outputs }: ProjectorConfig, layer: number) =>
  [layer === 0 ? inputs : hidden, layer === layers - 1 ? outputs : hidden] as const;

/**
 * Layer l is `name.<3l>.weight`, without bias but for `lastBias`, and the normalisation `name.<3l + 1>`, as in a list of Linear, BatchNorm1d
 * and ReLU. Weights by PyTorch's default: uniform within 1/sqrt(inputs).
 */
export function initProjector(
  params: Params,
  name: string,
  config: ProjectorConfig,
  random: ParameterRandom,
): void {
  for (let layer = 0; layer < config.layers; layer++) {
    const [from, to] = widths(config, layer);
    const weight = `${name}.${3 * layer}.weight`;
    params[weight] = uniformWithin([to, from], 1 / Math.sqrt(from), random(weight));
    const bias = `${name}.${3 * layer}.bias`;
    if (config.lastBias && layer === config.layers - 1)
      params[bias] = uniformWithin([to], 1 / Math.sqrt(from), random(bias));
    const norm = `${name}.${3 * layer + 1}`;
    if (layer < config.layers - 1) initBatchNorm(params, norm, to);
    else if (config.lastNorm) {
      params[`${norm}.running_mean`] = filled([to], 0);
      params[`${norm}.running_var`] = filled([to], 1);
    }
  }
}

/** @param x [N, inputs], @returns [N, outputs], not scaled to unit length */
export function projector(
  context: ForwardContext,
  params: TracedParams,
  name: string,
  x: Traced,
  { layers, outputs, lastNorm, lastBias }: ProjectorConfig,
): Traced {
  let y = x;
  for (let layer = 0; layer < layers; layer++) {
    y = matmul(y, parameter(params, `${name}.${3 * layer}.weight`), { transposeB: true });
    if (lastBias && layer === layers - 1) y = add(y, parameter(params, `${name}.${3 * layer}.bias`));
    const norm = `${name}.${3 * layer + 1}`;
    if (layer < layers - 1) y = relu(batchNorm(context, params, norm, y));
    else if (lastNorm) {
      const { builder } = y;
      const fixed = {
        [`${norm}.weight`]: builder.constant(filled([outputs], 1)),
        [`${norm}.bias`]: builder.constant(filled([outputs], 0)),
      };
      y = batchNorm(context, { ...params, ...fixed }, norm, y);
    }
  }
  return y;
}
