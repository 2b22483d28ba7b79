import { DataError, rng } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import type { Pixels } from '../views/apply.ts';
import { IMAGENET_MEAN, IMAGENET_STD, type ViewConfig } from '../views/config.ts';
import type { Job, JobResult } from './job.ts';
import type { Pool } from './pool.ts';
import { createSkipLog, type SkippedImage } from './skips.ts';

/** One step's input. The arrays belong to the consumer. */
export interface Batch<P extends Pixels = Float32Array> {
  /** The images of the rows, as indices of the data set. */
  readonly indices: Int32Array;
  /** Per view `[N, 3, S, S]`: normalised, or as bytes. */
  readonly views: P[];
  /** How long the consumer waited for this batch, in milliseconds. */
  readonly waitMs: number;
}

/** A part of each batch, where several processes share it: equal numbers of rows, one behind the other. */
export interface BatchPart {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

export interface BatchOptions {
  /** Images of a step. */
  readonly batch: number;
  /** Make these rows of each batch alone; they are the same as in a whole one. Default all. */
  readonly part?: BatchPart;
  readonly size: number;
  /** Each makes one view of every image. */
  readonly views: readonly ViewConfig[];
  /** Of the channels R, G, B in [0, 1], subtracted; default ImageNet's. */
  readonly mean?: readonly number[];
  /** Of the channels, by which they are divided; default ImageNet's. */
  readonly std?: readonly number[];
  readonly seed: number;
  /** Views as bytes, whose normalisation is left to the step that takes them. Default false. */
  readonly bytes?: boolean;
  /** Damaged images that are skipped before it is an error; default 1 % of the set, at least 10. */
  readonly maxBad?: number;
  /** Default true: a new order each epoch. */
  readonly shuffle?: boolean;
  /** Default true: an incomplete last batch is left out. */
  readonly dropLast?: boolean;
  /** Called once for each damaged image, when the first batch that misses it is handed out. */
  readonly onSkip?: (skipped: SkippedImage) => void;
}

export interface Loader<P extends Pixels = Float32Array> {
  readonly stepsPerEpoch: number;
  /** The batches of an epoch, from step `fromStep` (default 0) on: the same whether or not it starts in the middle. */
  epoch(epoch: number, fromStep?: number): AsyncIterable<Batch<P>>;
  /** The damaged images met so far. */
  readonly skipped: readonly SkippedImage[];
  close(): Promise<void>;
}

/** Finished batches may wait in at most this many bytes. */
const MOST_BYTES = 2 ** 30;
/** Number of spare images for damaged ones, at first. */
const SPARES = 8;

/**
 * Batches of views, made ahead by a pool, which is the caller's to close. Order and views are functions of (seed, epoch, image) alone. A damaged
 * image's row goes to the next good image of the epoch's order after the batch.
 * @throws DataError if the set is smaller than a batch, or (while iterating) if too many images are damaged
 */
export function createLoaderOn<P extends Pixels = Float32Array>(
  pool: Pool,
  dataset: ImageDataset,
  options: BatchOptions,
): Loader<P> {
  check(dataset, options);
  return new PoolLoader(pool, dataset, options);
}

function check(
  { name, length }: ImageDataset,
  { batch, views, size, dropLast = true, part = whole }: BatchOptions,
): void {
  if (!Number.isInteger(batch) || batch < 1)
    throw new DataError(`a batch of ${batch}: give a whole number from 1`);
  if (views.some((view) => view.of === undefined && view.size !== size))
    throw new DataError(`views of ${views.map((view) => view.size).join(', ')} px in a loader of ${size}`);
  if (dropLast && batch > length)
    throw new DataError(
      `a batch of ${batch} is larger than ${name} (${length} images): make the batch smaller`,
      { setting: 'batchSize', value: batch },
    );
  if (batch % part.count !== 0)
    throw new DataError(`a batch of ${batch} can't be cut into ${part.count} equal parts`, {
      setting: 'batchSize',
      value: batch,
    });
}

const whole: BatchPart = { index: 0, count: 1 };

class PoolLoader<P extends Pixels> implements Loader<P> {
  readonly stepsPerEpoch: number;
  readonly skipped: readonly SkippedImage[];
  private readonly pool: Pool;
  private readonly dataset: ImageDataset;
  private readonly options: BatchOptions;
  private readonly skips: ReturnType<typeof createSkipLog>;
  /** Batches that are made at a time. */
  private readonly ahead: number;
  /** Batches in flight, by `epoch/step`. */
  private readonly started = new Map<string, Promise<JobResult<P>>>();
  private readonly orders = new Map<number, Int32Array>();

  constructor(pool: Pool, dataset: ImageDataset, options: BatchOptions) {
    const { batch, views, bytes, dropLast = true, part = whole } = options;
    this.pool = pool;
    this.dataset = dataset;
    this.options = options;
    const epochs = dataset.length / batch;
    this.stepsPerEpoch = dropLast ? Math.floor(epochs) : Math.ceil(epochs);
    this.skips = createSkipLog(dataset, options);
    this.skipped = this.skips.list;
    const usual = bytes ? 'bytes' : undefined;
    const batchBytes = views.reduce(
      (sum, { size, numbers = usual }) =>
        sum + (batch / part.count) * 3 * size * size * (numbers === 'bytes' ? 1 : 4),
      0,
    );
    // Two per thread keep it busy; without threads nothing is gained by making a batch early.
    this.ahead =
      pool.workers === 0 ? 1 : Math.max(2, Math.min(2 * pool.workers, Math.floor(MOST_BYTES / batchBytes)));
  }

  async *epoch(epoch: number, fromStep = 0): AsyncGenerator<Batch<P>> {
    const { ahead, skips, started, stepsPerEpoch } = this;
    for (const key of started.keys()) {
      const [e, s] = key.split('/').map(Number) as [number, number];
      if (e !== epoch || s < fromStep || s >= fromStep + ahead) started.delete(key);
    }
    for (let step = fromStep; step < stepsPerEpoch; step++) {
      const asked = performance.now();
      // The window reaches into the next epoch, so that its first step need not wait.
      for (let i = 0; i < ahead; i++) {
        const at = step + i;
        this.begin(epoch + Math.floor(at / stepsPerEpoch), at % stepsPerEpoch);
      }
      const { indices, views, skipped } = await this.begin(epoch, step);
      started.delete(`${epoch}/${step}`);
      skips.add(skipped);
      yield { indices, views, waitMs: performance.now() - asked };
    }
  }

  async close(): Promise<void> {
    this.started.clear();
  }

  private begin(epoch: number, step: number): Promise<JobResult<P>> {
    const key = `${epoch}/${step}`;
    let result = this.started.get(key);
    if (result === undefined) {
      result = this.make(epoch, step);
      // Reported when the consumer comes to it; a batch that is never asked for fails in silence.
      result.catch(() => undefined);
      this.started.set(key, result);
    }
    return result;
  }

  private async make(epoch: number, step: number): Promise<JobResult<P>> {
    const { batch, part = whole } = this.options;
    if (part.count === 1) return this.makeWhole(epoch, step);
    const rows = batch / part.count;
    const first = part.index * rows;
    const own = await this.run(epoch, { start: step * batch + first, rows, length: rows });
    if (own.skipped.length === 0) return own;
    // Which images stand in for damaged ones depends on the rows before, too.
    const all = await this.makeWhole(epoch, step);
    return {
      indices: all.indices.slice(first, first + rows),
      views: all.views.map((view) => {
        const length = view.length / batch;
        return view.slice(first * length, (first + rows) * length) as P;
      }),
      skipped: all.skipped,
    };
  }

  private async makeWhole(epoch: number, step: number): Promise<JobResult<P>> {
    const { dataset, skips } = this;
    const { batch } = this.options;
    const n = dataset.length;
    const start = step * batch;
    const rows = Math.min(batch, n - start);
    for (let spares = SPARES; ; spares *= 8) {
      const length = Math.min(n, rows + spares);
      const result = await this.run(epoch, { start, rows, length });
      if (result.indices.length === rows) return result;
      if (result.skipped.length > skips.limit || length === n) {
        skips.add(result.skipped);
        throw new DataError(
          `${dataset.name}: only ${n - result.skipped.length} of ${n} images are readable, fewer than a batch of ${rows}`,
        );
      }
    }
  }

  /** Makes views of the images at `start` and behind it in the order of an epoch. @param length of them, spares included */
  private async run(
    epoch: number,
    { start, rows, length }: { readonly start: number; readonly rows: number; readonly length: number },
  ): Promise<JobResult<P>> {
    const { pool, dataset } = this;
    const { mean = IMAGENET_MEAN, std = IMAGENET_STD, views, seed, bytes = false } = this.options;
    const order = this.orderOf(epoch);
    const job: Job = {
      indices: Int32Array.from({ length }, (_, i) => order[(start + i) % dataset.length]!),
      rows,
      mean,
      std,
      make: { kind: 'views', configs: views, seed, epoch, purpose: 'view', bytes },
    };
    return (await pool.run(dataset, job)) as JobResult<Pixels> as JobResult<P>;
  }

  private orderOf(epoch: number): Int32Array {
    const { orders } = this;
    let order = orders.get(epoch);
    if (order === undefined) {
      const { length } = this.dataset;
      const { seed, shuffle = true } = this.options;
      order = shuffle
        ? rng(seed, 'order', epoch).permutation(length)
        : Int32Array.from({ length }, (_, i) => i);
      for (const old of orders.keys()) if (old < epoch - 1 || old > epoch + 1) orders.delete(old);
      orders.set(epoch, order);
    }
    return order;
  }
}
