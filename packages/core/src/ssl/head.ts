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

const isOfHead = (name: string) => name.startsWith('fc.');

/** Whether an encoder's parameters have a head's among them, `fc.*`: a projection or a classifier. */
export const hasHead = (params: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(params).some(isOfHead);

/** The parameters that are not of a head. */
export const withoutHead = <T>(params: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(params).filter(([name]) => !isOfHead(name)));

/** @param features [N, featureDim], @returns [N, dim], not normalised */
export function head(params: TracedParams, features: Traced, { mlp }: HeadConfig): Traced {
  if (!mlp) return linear(params, 'fc', features);
  return linear(params, 'fc.2', relu(linear(params, 'fc.0', features)));
}
