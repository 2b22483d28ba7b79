import { rng } from '@moco-ts/core';
import { UMAP } from 'umap-js';

/** Rounds of the optimisation: from nothing, and from an earlier map. */
const FIRST = 300;
const LATER = 80;

/**
 * Places of points on a plane by their nearest neighbours.
 * @param neighbours [M, k]
 * @param similarities cosines [M, k]
 * @param before an earlier map of the same points, from which this one begins
 */
export function layout(
  neighbours: Int32Array,
  similarities: Float32Array,
  k: number,
  before?: readonly (readonly number[])[],
): number[][] {
  const count = neighbours.length / k;
  const rows = Array.from({ length: count }, (_, i) => i);
  const random = rng(0, 'map');
  const umap = new UMAP({
    nComponents: 2,
    nNeighbors: k + 1,
    nEpochs: before ? LATER : FIRST,
    learningRate: before ? 0.2 : 1,
    minDist: 0.3,
    random: () => random.uniform(),
  });
  // By UMAP's custom a point is its own first neighbour.
  umap.setPrecomputedKNN(
    rows.map((i) => [i, ...neighbours.subarray(i * k, (i + 1) * k)]),
    rows.map((i) => [
      0,
      ...Array.from(similarities.subarray(i * k, (i + 1) * k), (cosine) => Math.max(0, 1 - cosine)),
    ]),
  );
  const rounds = umap.initializeFit(rows.map((i) => [i]));
  const places = umap.getEmbedding();
  // The library's own rows: what is written here is where it begins.
  before?.forEach(([x, y], i) => {
    places[i]![0] = x!;
    places[i]![1] = y!;
  });
  for (let round = 0; round < rounds; round++) umap.step();
  return umap.getEmbedding();
}

/** Places scaled into [0, 1], each axis by itself. */
export function unitSquare(places: readonly (readonly number[])[]): Float32Array<ArrayBuffer> {
  const low = [0, 1].map((axis) => places.reduce((least, place) => Math.min(least, place[axis]!), Infinity));
  const high = [0, 1].map((axis) => places.reduce((most, place) => Math.max(most, place[axis]!), -Infinity));
  const out = new Float32Array(2 * places.length);
  places.forEach((place, i) => {
    for (const axis of [0, 1])
      out[2 * i + axis] = (place[axis]! - low[axis]!) / (high[axis]! - low[axis]! || 1);
  });
  return out;
}
