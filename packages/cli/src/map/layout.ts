/** Places of images on a map: UMAP (McInnes, Healy, Melville, arXiv 1802.03426) of the graph of exact neighbours. */
import { type Neighbour, type Rng, type Rows, rng, unitRows } from '@moco-ts/core';
import { UMAP } from 'umap-js';

/** With fewer there is no neighbourhood to keep: the two directions of most variance do. */
const fewest = 8;

/**
 * The same for the same vectors and seed.
 * @param neighbours of each row, itself left out, the nearest first; as many as UMAP uses
 * @returns [N, 2], within [0, 1], the longer side filled
 */
export function layout(
  { features, dim }: Rows,
  neighbours: readonly (readonly Neighbour[])[],
  seed: number,
): Float32Array {
  const rows = { features: unitRows(features, dim), dim };
  const start = principalPlane(rows, seed);
  const count = neighbours.length;
  if (count < fewest) return fitted(start);
  const random = rng(seed, 'map/umap');
  // With itself, an image must have fewer neighbours than there are images.
  const near = neighbours.map((list) => list.slice(0, count - 2));
  const umap = new UMAP({ nNeighbors: near[0]!.length + 1, random: () => random.uniform() });
  // Each is its own nearest, as the library's own search gives it.
  umap.setPrecomputedKNN(
    near.map((list, i) => [i, ...list.map(({ row }) => row)]),
    near.map((list) => [0, ...list.map(({ similarity }) => Math.max(0, 1 - similarity))]),
  );
  const epochs = umap.initializeFit(neighbours.map(() => []));
  // From a plane instead of noise: what is far apart in truth stays so (Kobak and Linderman, 2021).
  const places = umap.getEmbedding();
  for (let i = 0; i < count; i++) for (let c = 0; c < 2; c++) places[i]![c] = start[2 * i + c]!;
  for (let epoch = 0; epoch < epochs; epoch++) umap.step();
  return fitted(Float32Array.from(umap.getEmbedding().flat()));
}

/** [N, 2]: the rows on their two directions of most variance, scaled to [-10, 10], a little shaken so that none coincide. */
function principalPlane({ features, dim }: Rows, seed: number): Float32Array {
  const count = features.length / dim;
  const mean = new Float64Array(dim);
  for (let at = 0; at < features.length; at++) mean[at % dim]! += features[at]! / count;
  const random = rng(seed, 'map/start');
  const first = direction(features, mean, random, undefined);
  const second = direction(features, mean, random, first);
  const out = new Float32Array(2 * count);
  for (let i = 0; i < count; i++)
    for (let c = 0; c < 2; c++) {
      const axis = c === 0 ? first : second;
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += (features[i * dim + d]! - mean[d]!) * axis[d]!;
      out[2 * i + c] = sum;
    }
  const most = out.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  return out.map((x) => (10 * x) / most + random.uniform(-1e-3, 1e-3));
}

/** Steps of the power method: a start needs no more. */
const steps = 12;

/** A unit vector along the most variance, across to another. */
function direction(
  features: Float32Array,
  mean: Float64Array,
  random: Rng,
  other: Float64Array | undefined,
): Float64Array {
  const dim = mean.length;
  let axis = Float64Array.from({ length: dim }, random.normal);
  for (let step = 0; step < steps; step++) {
    if (other) {
      const along = axis.reduce((sum, x, d) => sum + x * other[d]!, 0);
      axis = axis.map((x, d) => x - along * other[d]!);
    }
    const length = Math.hypot(...axis) || 1;
    axis = axis.map((x) => x / length);
    if (step === steps - 1) break;
    const next = new Float64Array(dim);
    for (let at = 0; at < features.length; at += dim) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += (features[at + d]! - mean[d]!) * axis[d]!;
      for (let d = 0; d < dim; d++) next[d]! += sum * (features[at + d]! - mean[d]!);
    }
    axis = next;
  }
  return axis;
}

/** Moved and scaled into the unit square, keeping its proportions. */
function fitted(places: Float32Array): Float32Array {
  const range = [0, 1].map((c) => {
    const values = places.filter((_, i) => i % 2 === c);
    return [
      values.reduce((a, b) => Math.min(a, b), Infinity),
      values.reduce((a, b) => Math.max(a, b), -Infinity),
    ];
  });
  const side = Math.max(...range.map(([low, high]) => high! - low!)) || 1;
  return places.map((x, i) => {
    const [low, high] = range[i % 2]!;
    return (x - low!) / side + (1 - (high! - low!) / side) / 2;
  });
}
