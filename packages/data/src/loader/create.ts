import type { ImageDataset } from '../dataset.ts';
import type { Pixels } from '../views/apply.ts';
import { type BatchOptions, createLoaderOn, type Loader } from './loader.ts';
import { createPool, type Pool } from './pool.ts';

export interface LoaderOptions extends BatchOptions {
  /** Threads; 0: batches are made in this thread while the consumer waits. */
  readonly workers: number;
  /** Threads to use instead of own ones; `workers` is then ignored, and closing is up to the caller. */
  readonly pool?: Pool;
}

/**
 * A loader that makes its batches in threads.
 * @throws DataError as {@link createLoaderOn}
 */
export function createLoader<P extends Pixels = Float32Array>(
  dataset: ImageDataset,
  options: LoaderOptions,
): Loader<P> {
  const pool = options.pool ?? createPool(options.workers);
  const loader = createLoaderOn<P>(pool, dataset, options);
  return {
    stepsPerEpoch: loader.stepsPerEpoch,
    skipped: loader.skipped,
    epoch: (epoch, fromStep) => loader.epoch(epoch, fromStep),
    close: async () => {
      await loader.close();
      if (options.pool === undefined) await pool.close();
    },
  };
}
