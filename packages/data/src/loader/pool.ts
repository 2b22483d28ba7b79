import { DataError } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import { cacheOf, openCache } from './cache.ts';
import { HelperPool } from './helper-pool.ts';
import { type ImageReader, type Job, type JobResult, runJob } from './job.ts';

/** Makes batches of any number of data sets, in `workers` threads or, with 0, in this one. */
export interface Pool {
  readonly workers: number;
  run(dataset: ImageDataset, job: Job): Promise<JobResult>;
  /** Ends the threads; batches in flight are rejected. */
  close(): Promise<void>;
}

export interface PoolOptions {
  /**
   * Processes in place of threads: an image on which the decoder crashes ends one of them and is left out, where it would end
   * everything. Batches come over a pipe, and images are not kept decoded. Default false.
   */
  readonly isolate?: boolean;
}

/** @param workers number of threads; 0: no thread, batches are made while the caller waits */
export function createPool(workers: number, { isolate = false }: PoolOptions = {}): Pool {
  if (!Number.isInteger(workers) || workers < 0) {
    throw new DataError(`${workers} workers: give a whole number, 0 for none`);
  }
  return workers === 0 ? inProcess() : new HelperPool(workers, isolate);
}

function inProcess(): Pool {
  const readers = new WeakMap<ImageDataset, Promise<ImageReader>>();
  let queue: Promise<unknown> = Promise.resolve();
  return {
    workers: 0,
    run(dataset, job) {
      let reader = readers.get(dataset);
      if (reader === undefined) {
        reader = cacheOf(dataset).then((cache) => ({
          decode: (index: number) => dataset.decode(index),
          ...(cache && { cache: openCache(cache) }),
        }));
        readers.set(dataset, reader);
      }
      const made = queue.then(async () => runJob(await reader, job));
      queue = made.catch(() => undefined);
      return made;
    },
    async close() {},
  };
}
