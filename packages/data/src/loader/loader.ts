import { DataError, rng } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import type { ViewConfig } from '../views/config.ts';
import type { Job, JobResult } from './job.ts';
import type { Pool } from './pool.ts';
import { createSkipLog, type SkippedPicture } from './skips.ts';

/** One step's input. The arrays belong to the consumer. */
export interface Batch {
  /** The pictures of the rows, as indices of the data set. */
  readonly indices: Int32Array;
  /** Per view `[N, 3, S, S]`, normalised. */
  readonly views: Float32Array[];
  /** How long the consumer waited for this batch, in milliseconds. */
  readonly waitMs: number;
}

export interface BatchOptions {
  readonly batch: number;
  readonly size: number;
  /** One or two distributions: each makes one view of every picture. */
  readonly views: readonly ViewConfig[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly seed: number;
  /** Damaged pictures that are skipped before it is an error; default 1 % of the set, at least 10. */
  readonly maxBad?: number;
  /** Default true: a new order each epoch. */
  readonly shuffle?: boolean;
  /** Default true: an incomplete last batch is left out. */
  readonly dropLast?: boolean;
  /** Called once for each damaged picture, when the first batch that misses it is handed out. */
  readonly onSkip?: (skipped: SkippedPicture) => void;
}

export interface Loader {
  readonly stepsPerEpoch: number;
  /** The batches of an epoch, from step `fromStep` (default 0) on: the same whether or not it starts in the middle. */
  epoch(epoch: number, fromStep?: number): AsyncIterable<Batch>;
  /** The damaged pictures met so far. */
  readonly skipped: readonly SkippedPicture[];
  close(): Promise<void>;
}

/** Finished batches may wait in at most this many bytes. */
const MOST_BYTES = 2 ** 30;
/** How many pictures stand by for damaged ones, at first. */
const SPARES = 8;

/**
 * Batches of views, made ahead by a pool, which is the caller's to close. Order and views are functions of (seed, epoch, picture) alone. A damaged
 * picture's row goes to the next good picture of the epoch's order after the batch.
 * @throws DataError if the set is smaller than a batch, or (while iterating) if too many pictures are damaged
 */
export function createLoaderOn(pool: Pool, dataset: ImageDataset, options: BatchOptions): Loader {
  const { batch, seed } = options;
  const n = dataset.length;
  if (!Number.isInteger(batch) || batch < 1)
    throw new DataError(`a batch of ${batch}: give a whole number from 1`);
  if (options.views.some((view) => view.size !== options.size)) {
    throw new DataError(
      `views of ${options.views.map((view) => view.size).join(', ')} px in a loader of ${options.size}`,
    );
  }
  const dropLast = options.dropLast ?? true;
  if (dropLast && batch > n) {
    throw new DataError(
      `a batch of ${batch} is larger than ${dataset.name} (${n} pictures): make the batch smaller`,
    );
  }
  const stepsPerEpoch = dropLast ? Math.floor(n / batch) : Math.ceil(n / batch);
  const skips = createSkipLog(dataset, options);
  const batchBytes = batch * options.views.length * 3 * options.size * options.size * 4;
  // Two per thread keep it busy; without threads nothing is gained by making a batch early.
  const ahead =
    pool.workers === 0 ? 1 : Math.max(2, Math.min(2 * pool.workers, Math.floor(MOST_BYTES / batchBytes)));

  /** Batches under way, by `epoch/step`. */
  const started = new Map<string, Promise<JobResult>>();
  const orders = new Map<number, Int32Array>();

  function orderOf(epoch: number): Int32Array {
    let order = orders.get(epoch);
    if (order === undefined) {
      order =
        (options.shuffle ?? true)
          ? rng(seed, 'order', epoch).permutation(n)
          : Int32Array.from({ length: n }, (_, i) => i);
      for (const old of orders.keys()) if (old < epoch - 1 || old > epoch + 1) orders.delete(old);
      orders.set(epoch, order);
    }
    return order;
  }

  async function make(epoch: number, step: number): Promise<JobResult> {
    const order = orderOf(epoch);
    const rows = Math.min(batch, n - step * batch);
    for (let spares = SPARES; ; spares *= 8) {
      const length = Math.min(n, rows + spares);
      const job: Job = {
        indices: Int32Array.from({ length }, (_, i) => order[(step * batch + i) % n]!),
        rows,
        mean: options.mean,
        std: options.std,
        make: { kind: 'views', configs: options.views, seed, epoch, purpose: 'view' },
      };
      const result = await pool.run(dataset, job);
      if (result.indices.length === rows) return result;
      if (result.skipped.length > skips.limit || length === n) {
        skips.add(result.skipped);
        throw new DataError(
          `${dataset.name}: only ${n - result.skipped.length} of ${n} pictures are readable, fewer than a batch of ${rows}`,
        );
      }
    }
  }

  function begin(epoch: number, step: number): Promise<JobResult> {
    const key = `${epoch}/${step}`;
    let result = started.get(key);
    if (result === undefined) {
      result = make(epoch, step);
      // Reported when the consumer comes to it; a batch that is never asked for fails in silence.
      result.catch(() => undefined);
      started.set(key, result);
    }
    return result;
  }

  async function* run(epoch: number, fromStep: number): AsyncGenerator<Batch> {
    for (const key of started.keys()) {
      const [e, s] = key.split('/').map(Number) as [number, number];
      if (e !== epoch || s < fromStep || s >= fromStep + ahead) started.delete(key);
    }
    for (let step = fromStep; step < stepsPerEpoch; step++) {
      const asked = performance.now();
      // The window reaches into the next epoch, so that its first step need not wait.
      for (let i = 0; i < ahead; i++) {
        const at = step + i;
        begin(epoch + Math.floor(at / stepsPerEpoch), at % stepsPerEpoch);
      }
      const { indices, views, skipped } = await begin(epoch, step);
      started.delete(`${epoch}/${step}`);
      skips.add(skipped);
      yield { indices, views, waitMs: performance.now() - asked };
    }
  }

  return {
    stepsPerEpoch,
    epoch: (epoch, fromStep = 0) => run(epoch, fromStep),
    skipped: skips.list,
    async close() {
      started.clear();
    },
  };
}
