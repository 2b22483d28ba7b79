/** Groups of near-duplicates: images whose vectors have a cosine of at least a threshold to the first of their group. */
import { type Backend, counted, eachSimilarity, UserError } from '@moco-ts/core';
import type { VectorSet } from './set.ts';

/** The same image twice may give a cosine this far below 1. */
const rounding = 1e-6;

export interface DuplicateGroup {
  /** Comes before the others in the set. */
  readonly first: string;
  /** The most similar first. */
  readonly others: readonly { readonly id: string; readonly similarity: number }[];
}

/** Products and sums in a second, and comparisons of their results: what a few cores do. */
const [productsPerSecond, comparisonsPerSecond] = [2e10, 7e8];

/** Roughly how long {@link findDuplicates} takes: every vector meets every other. In seconds. */
export const secondsFor = (count: number, dim: number) =>
  count ** 2 * (dim / productsPerSecond + 1 / comparisonsPerSecond);

/** @throws UserError, before anything is read or computed, for more vectors than `max` */
export function checkCount(name: string, count: number, dim: number, max: number): void {
  if (count <= max) return;
  const hours = secondsFor(count, dim) / 3600;
  const time = hours < 1 ? `${Math.ceil(60 * hours)} minutes` : `${Math.round(hours)} hours`;
  throw new UserError(
    `${name} has ${counted(count, 'vector')}, more than ${max}: dedupe compares each with each, which may take ${time} here; give --max ${count} to do it all the same, or dedupe parts of the set`,
    { code: 'setting-invalid', setting: 'max', value: max },
  );
}

/**
 * Goes through a set in order: an image that no earlier group took begins one, and takes all later ones that are near
 * enough to it and in no group yet. So keeping only the first image of each group loses none without a near-duplicate. Chains
 * of near neighbours, whose ends have nothing in common, form no group.
 * @param threshold of the cosine, in [-1, 1]
 * @param onRow called with each image whose comparisons are done
 * @returns in the order of their first images
 */
export async function findDuplicates(
  backend: Backend,
  { ids, dim, vectors: features }: Pick<VectorSet, 'ids' | 'dim' | 'vectors'>,
  threshold: number,
  onRow: (row: number) => void = () => undefined,
): Promise<DuplicateGroup[]> {
  const taken = new Uint8Array(ids.length);
  const groups: DuplicateGroup[] = [];
  const rows = { features, dim };
  await eachSimilarity(backend, rows, rows, (row, similarity) => {
    onRow(row);
    if (taken[row] === 1) return;
    const others: { readonly id: string; readonly similarity: number }[] = [];
    for (let other = row + 1; other < ids.length; other++) {
      const value = similarity[other]!;
      if (taken[other] === 1 || value + rounding < threshold) continue;
      taken[other] = 1;
      others.push({ id: ids[other]!, similarity: Math.min(1, value) });
    }
    if (others.length === 0) return;
    groups.push({ first: ids[row]!, others: others.sort((a, b) => b.similarity - a.similarity) });
  });
  return groups;
}
