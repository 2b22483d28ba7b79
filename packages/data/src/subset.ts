/** A part of a data set as a data set. */
import type { ImageDataset } from './dataset.ts';
import { stableHash } from './datasets/hash.ts';

/**
 * Some images of a set, in the order of `indices`.
 * @param indices of `dataset`
 */
export function subset(dataset: ImageDataset, indices: ArrayLike<number>): ImageDataset {
  const rows = Int32Array.from(indices);
  const at = (index: number) => rows[index]!;
  const shared = dataset.share?.();
  return {
    ...dataset,
    length: rows.length,
    label: (index) => dataset.label(at(index)),
    id: (index) => dataset.id(at(index)),
    decode: (index) => dataset.decode(at(index)),
    // Sets in one buffer decode where they are opened, which costs next to nothing.
    share: () =>
      shared?.kind === 'files'
        ? { ...shared, paths: Array.from(rows, (row) => shared.paths[row]!) }
        : { kind: 'here' },
  };
}

/**
 * Divides a set by a hash of its ids, so that an image is always on the same side; each side gets one image at least.
 * @param share of the second part, in (0, 1)
 */
export function divide(dataset: ImageDataset, share: number): { train: ImageDataset; test: ImageDataset } {
  const all = Array.from({ length: dataset.length }, (_, index) => index);
  const hash = all.map((index) => stableHash(dataset.id(index)) / 0x100000000);
  const order = all.toSorted((a, b) => hash[a]! - hash[b]!);
  const rule = hash.filter((value) => value < share).length;
  const held = new Set(order.slice(0, Math.min(Math.max(rule, 1), dataset.length - 1)));
  return {
    train: subset(
      dataset,
      all.filter((index) => !held.has(index)),
    ),
    test: subset(
      dataset,
      all.filter((index) => held.has(index)),
    ),
  };
}
