import { counted, DataError } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import type { Skipped } from './job.ts';

/** A damaged image that was left out. */
export interface SkippedImage {
  readonly id: string;
  readonly reason: string;
}

export interface SkipLog {
  readonly limit: number;
  readonly list: SkippedImage[];
  /** @throws DataError once there are more than `limit` */
  add(skipped: readonly Skipped[]): void;
}

/** Damaged images that a set may have before it is an error. @param asked default 1 % of the set, at least 10 */
export const mostDamaged = ({ length }: Pick<ImageDataset, 'length'>, asked?: number): number =>
  asked ?? Math.max(10, Math.ceil(length / 100));

/** Counts damaged images, each once. */
export function createSkipLog(
  dataset: ImageDataset,
  options: {
    readonly maxBad?: number;
    readonly onSkip?: (skipped: SkippedImage) => void;
    readonly badBefore?: number;
  },
): SkipLog {
  const limit = mostDamaged(dataset, options.maxBad);
  const seen = new Set<number>();
  const list: SkippedImage[] = [];
  return {
    limit,
    list,
    add(skipped) {
      for (const { index, reason } of skipped) {
        if (seen.has(index)) continue;
        seen.add(index);
        const entry = { id: dataset.id(index), reason };
        list.push(entry);
        const all = list.length + (options.badBefore ?? 0);
        if (all > limit) {
          const count = `${counted(all, 'damaged image')}, more than the ${limit} allowed`;
          throw new DataError(`${dataset.name}: ${count}; the last: ${reason}`, { setting: 'maxBad' });
        }
        options.onSkip?.(entry);
      }
    },
  };
}
