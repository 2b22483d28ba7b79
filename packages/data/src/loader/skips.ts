import { counted, DataError } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import type { Skipped } from './job.ts';

/** A damaged picture that was left out. */
export interface SkippedPicture {
  readonly id: string;
  readonly reason: string;
}

export interface SkipLog {
  readonly limit: number;
  readonly list: SkippedPicture[];
  /** @throws DataError once there are more than `limit` */
  add(skipped: readonly Skipped[]): void;
}

/** Counts damaged pictures, each once. */
export function createSkipLog(
  dataset: ImageDataset,
  options: {
    readonly maxBad?: number;
    readonly onSkip?: (skipped: SkippedPicture) => void;
    readonly badBefore?: number;
  },
): SkipLog {
  const limit = options.maxBad ?? Math.max(10, Math.ceil(dataset.length / 100));
  const seen = new Set<number>();
  const list: SkippedPicture[] = [];
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
          const count = `${counted(all, 'damaged picture')}, more than the ${limit} allowed`;
          throw new DataError(`${dataset.name}: ${count}; the last: ${reason}`);
        }
        options.onSkip?.(entry);
      }
    },
  };
}
