/** What follows an encoder in a foreign file: a contrastive head, or MoCo v3's projector. */
import {
  type EncoderTraits,
  initHead,
  initProjector,
  mocoV3Heads,
  mocoV3Projection,
  noRandom,
  type Params,
  sameShape,
} from '@moco-ts/core';
import type { Layout } from './layout.ts';
import { type Shapes, shapesIn } from './shapes.ts';

export interface FoundHead {
  /** `own`: of a method that core does not know. */
  readonly type: 'linear' | 'mlp' | 'projector' | 'own';
  /** The length of queries. */
  readonly dim: number;
  /** The width between layers; of a linear head or an own one, of its input. */
  readonly hidden: number;
  /** Its tensors, all under `fc`. */
  readonly shapes: Shapes;
}

/** The head that a file has, if it is one that belongs to its method; a classifier is none. */
export function headOf(
  kind: Layout['kind'] | FoundHead,
  family: EncoderTraits['family'],
  featureDim: number,
  shapes: Shapes,
): FoundHead | undefined {
  const candidate =
    typeof kind === 'object' ? kind : kind === 'plain' ? undefined : guess(kind, family, featureDim, shapes);
  const fits = Object.entries(candidate?.shapes ?? {}).every(
    ([name, shape]) => shapes[name] !== undefined && sameShape(shapes[name], shape),
  );
  return fits ? candidate : undefined;
}

function guess(
  kind: 'queue' | 'momentum',
  family: EncoderTraits['family'],
  featureDim: number,
  shapes: Shapes,
): FoundHead | undefined {
  const params: Params = {};
  if (kind === 'queue') {
    const mlp = shapes['fc.0.weight'] !== undefined;
    const dim = shapes[mlp ? 'fc.2.weight' : 'fc.weight']?.[0];
    if (dim === undefined) return undefined;
    initHead(params, featureDim, { mlp, dim }, noRandom);
    return { type: mlp ? 'mlp' : 'linear', dim, hidden: featureDim, shapes: shapesIn(params) };
  }
  const hidden = shapes['fc.0.weight']?.[0];
  const dim = shapes[`fc.${3 * (mocoV3Heads[family].projectorLayers - 1)}.weight`]?.[0];
  if (hidden === undefined || dim === undefined) return undefined;
  initProjector(params, 'fc', mocoV3Projection(family, featureDim, { hidden, dim }), noRandom);
  return { type: 'projector', dim, hidden, shapes: shapesIn(params) };
}
