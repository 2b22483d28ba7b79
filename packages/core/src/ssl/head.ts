/** Projection heads, between the features and the contrastive loss; discarded after pretraining. */
import type { Params, TracedParams } from '../encoder.ts';
import { relu } from '../graph/ops/elementwise.ts';
import type { Traced } from '../graph/trace.ts';
import { initLinear, type ParameterRandom } from '../nn/init.ts';
import { linear } from '../nn/layers.ts';

export interface HeadConfig {
  /** Two layers with a ReLU, hidden as wide as the features (MoCo v2), instead of one (MoCo v1). */
  readonly mlp: boolean;
  /** The length of queries and keys. */
  readonly dim: number;
}

/** `fc`, or `fc.0` and `fc.2`: the names that the official checkpoints use. */
export function initHead(
  params: Params,
  featureDim: number,
  { mlp, dim }: HeadConfig,
  random: ParameterRandom,
): void {
  if (mlp) initLinear(params, 'fc.0', featureDim, featureDim, random);
  initLinear(params, mlp ? 'fc.2' : 'fc', featureDim, dim, random);
}

/** @param features [N, featureDim], @returns [N, dim], not normalised */
export function head(params: TracedParams, features: Traced, { mlp }: HeadConfig): Traced {
  if (!mlp) return linear(params, 'fc', features);
  return linear(params, 'fc.2', relu(linear(params, 'fc.0', features)));
}
