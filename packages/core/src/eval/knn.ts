/** Weighted k-nearest-neighbour classification of features (InstDisc, arXiv 1805.01978, section 3.4). */
import type { Backend } from '../backend.ts';
import { eachSimilarity, topK } from './similarity.ts';

/** Features in rows, with a label for each. */
export interface LabelledFeatures {
  /** [M, dim]; need not be normalised. */
  readonly features: Float32Array;
  readonly labels: ArrayLike<number>;
}

export interface KnnOptions {
  readonly dim: number;
  readonly classes: number;
  /** Neighbours that vote; default 200. */
  readonly k?: number;
  /** The temperature T of the votes exp(similarity / T); default 0.1. */
  readonly temperature?: number;
}

/**
 * The class that the neighbours of one query vote for; -1 where the bank has none with a finite similarity.
 * @param similarity cosine to each row of the bank; rows for which it is not finite have no vote
 */
export function knnVote(
  similarity: Float32Array,
  labels: ArrayLike<number>,
  { classes, k = 200, temperature = 0.1 }: KnnOptions,
): number {
  const votes = new Float64Array(classes);
  const voters = topK(similarity, k).filter((row) => Number.isFinite(similarity[row]));
  // Shifted by the largest, which leaves the shares as they are: exp of a cosine by a small temperature overflows.
  const shift = voters.reduce((most, row) => Math.max(most, similarity[row]!), -1);
  for (const row of voters) votes[labels[row]!]! += Math.exp((similarity[row]! - shift) / temperature);
  let best = -1;
  for (let c = 0; c < classes; c++) if (votes[c]! > (votes[best] ?? 0)) best = c;
  return best;
}

/**
 * The share of queries, in percent, whose class the votes name. A query whose features are not finite is wrong.
 * Similarities are computed by the backend.
 */
export async function knnAccuracy(
  backend: Backend,
  bank: LabelledFeatures,
  queries: LabelledFeatures,
  options: KnnOptions,
): Promise<number> {
  const { dim } = options;
  let right = 0;
  await eachSimilarity(backend, { ...queries, dim }, { ...bank, dim }, (i, similarity) => {
    const vote = knnVote(similarity, bank.labels, options);
    if (vote >= 0 && vote === queries.labels[i]) right++;
  });
  return (100 * right) / (queries.features.length / dim);
}
