import type { ImageDataset } from '../dataset.ts';
import { IMAGENET_MEAN, IMAGENET_STD } from '../views/config.ts';
import type { Job } from './job.ts';
import { createPool, type Pool } from './pool.ts';
import { createSkipLog, type SkipLog, type SkippedImage } from './skips.ts';

/** Some images, ready for an encoder. The arrays belong to the consumer. */
export interface ImageBatch {
  /** Which images of the data set the rows hold. */
  readonly indices: Int32Array;
  /** `[N, 3, S, S]`, normalised. */
  readonly data: Float32Array;
}

export interface ReadOptions {
  /** Rows per batch; default 64. The last may have fewer. */
  readonly batch?: number;
  /** Threads of its own; default 0. */
  readonly workers?: number;
  /** Threads to share with others; closing is up to the caller. */
  readonly pool?: Pool;
  /** As for the loader: how many damaged images are left out before it is an error. Default 0 without `onSkip`. */
  readonly maxBad?: number;
  readonly onSkip?: (skipped: SkippedImage) => void;
  /** Damaged images that were left out before these. */
  readonly badBefore?: number;
}

export interface EvalOptions extends ReadOptions {
  readonly size: number;
  /** Of the channels R, G, B in [0, 1], subtracted; default ImageNet's. */
  readonly mean?: readonly number[];
  /** Of the channels, by which they are divided; default ImageNet's. */
  readonly std?: readonly number[];
  /** Which images, in which order; default all. */
  readonly indices?: ArrayLike<number>;
  /** Length of the shorter side before the centre is cut out; default: see {@link clearSide}. */
  readonly resize?: number;
}

/**
 * Images under the eval transform, for features. Damaged ones are left out (`indices` of the batches tells).
 * @throws DataError (while iterating) if more than `maxBad` are damaged
 */
export async function* loadEval(dataset: ImageDataset, options: EvalOptions): AsyncGenerator<ImageBatch> {
  const { size, resize, mean = IMAGENET_MEAN, std = IMAGENET_STD } = options;
  const make = { kind: 'eval', size, ...(resize === undefined ? {} : { resize }) } as const;
  const skips = readSkips(dataset, options);
  const order = Int32Array.from(options.indices ?? { length: dataset.length }, (v, i) =>
    options.indices ? v : i,
  );
  for await (const result of runAll(dataset, order, { mean, std, make }, options)) {
    skips.add(result.skipped);
    if (result.indices.length > 0) yield { indices: result.indices, data: result.views[0]! };
  }
}

/** Counts what a reader leaves out. */
export function readSkips(dataset: ImageDataset, options: ReadOptions): SkipLog {
  const maxBad = options.maxBad ?? (options.onSkip === undefined ? 0 : undefined);
  return createSkipLog(dataset, { ...options, ...(maxBad === undefined ? {} : { maxBad }) });
}

/** Runs the jobs for `order`, batch by batch, a few ahead of the consumer. */
export async function* runAll(
  dataset: ImageDataset,
  order: Int32Array,
  job: Pick<Job, 'mean' | 'std' | 'make'>,
  options: ReadOptions,
) {
  const batch = options.batch ?? 64;
  const pool = options.pool ?? createPool(options.workers ?? 0);
  try {
    const ahead = Math.max(1, 2 * pool.workers);
    const started: ReturnType<Pool['run']>[] = [];
    let next = 0;
    while (next < order.length || started.length > 0) {
      while (next < order.length && started.length < ahead) {
        const indices = order.slice(next, next + batch);
        const result = pool.run(dataset, { ...job, indices, rows: indices.length });
        result.catch(() => undefined);
        started.push(result);
        next += batch;
      }
      yield await started.shift()!;
    }
  } finally {
    if (options.pool === undefined) await pool.close();
  }
}
