/** Nearest neighbours by cosine, over features in host memory. */
import { unitRows } from '@moco-ts/core';

/**
 * For each query the nearest row of the gallery, -1 if no similarity is a number. Of equals, the first.
 * @param skipSelf leave out the row with the query's own number
 */
function nearest(queries: Float32Array, gallery: Float32Array, dim: number, skipSelf: boolean): Int32Array {
  const rows = queries.length / dim;
  const candidates = gallery.length / dim;
  const best = new Int32Array(rows).fill(-1);
  const score = new Float64Array(rows).fill(Number.NEGATIVE_INFINITY);
  // A block of the gallery stays in the processor's cache while all queries pass by.
  const block = Math.max(1, Math.floor(32768 / dim));
  for (let first = 0; first < candidates; first += block) {
    const last = Math.min(candidates, first + block);
    for (let q = 0; q < rows; q++) {
      const from = q * dim;
      for (let g = first; g < last; g++) {
        if (skipSelf && g === q) continue;
        let dot = 0;
        for (let d = 0, at = g * dim; d < dim; d++, at++) dot += queries[from + d]! * gallery[at]!;
        if (dot > score[q]!) {
          score[q] = dot;
          best[q] = g;
        }
      }
    }
  }
  return best;
}

function checkRows(features: Float32Array, dim: number, what: string): void {
  if (!Number.isInteger(dim) || dim < 1 || features.length % dim !== 0) {
    throw new RangeError(`${what}: ${features.length} values are no rows of ${dim}`);
  }
}

/**
 * The share of queries whose nearest gallery row, by cosine, is the right one.
 * @param queryFeatures `[Q, dim]` @param galleryFeatures `[G, dim]` @param target the right row of each query
 */
export function recallAt1(
  queryFeatures: Float32Array,
  galleryFeatures: Float32Array,
  dim: number,
  target: Int32Array,
): number {
  checkRows(queryFeatures, dim, 'queries');
  checkRows(galleryFeatures, dim, 'gallery');
  if (queryFeatures.length / dim !== target.length) {
    throw new RangeError(`${queryFeatures.length / dim} queries, but ${target.length} targets`);
  }
  const nearestRows = nearest(unitRows(queryFeatures, dim), unitRows(galleryFeatures, dim), dim, false);
  return nearestRows.reduce((right, row, q) => right + (row === target[q] ? 1 : 0), 0) / target.length;
}

/**
 * Leave-one-out: the share of labelled rows whose nearest other row, by cosine, has the same label.
 * @param features `[N, dim]` @param labels `[N]`, negative where there is none
 */
export function nearestLabelAccuracy(features: Float32Array, dim: number, labels: ArrayLike<number>): number {
  checkRows(features, dim, 'features');
  const unit = unitRows(features, dim);
  const nearestRows = nearest(unit, unit, dim, true);
  const labelled = nearestRows.map((_, i) => Number(labels[i]! >= 0));
  const right = nearestRows.filter((row, i) => row >= 0 && labelled[i] === 1 && labels[row] === labels[i]);
  return (
    right.length /
    Math.max(
      1,
      labelled.reduce((sum, each) => sum + each, 0),
    )
  );
}
