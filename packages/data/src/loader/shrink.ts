import type { ImageDataset } from '../dataset.ts';
import { readSkips, runAll } from './eval.ts';
import { createPool } from './pool.ts';
import type { SkippedImage } from './skips.ts';

/** Some images' smaller files. */
export interface ShrunkBatch {
  /** Which images of the data set. */
  readonly indices: Int32Array;
  /** Of each of them. */
  readonly files: readonly Uint8Array[];
  /** Images of which there is none. */
  readonly damaged: readonly number[];
}

export interface ShrinkOptions {
  /** Pixels of the shorter side, at most. */
  readonly size: number;
  /** Which images. */
  readonly indices: ArrayLike<number>;
  /** Processes that decode; each has threads of its own. */
  readonly workers: number;
  /** How many damaged images are left out before it is an error. Default 1 % of the set, at least 10. */
  readonly maxBad?: number;
  readonly onSkip: (skipped: SkippedImage) => void;
}

/** Images in a message: a process has several at work. */
const BATCH = 16;

/**
 * Smaller copies of the files of a data set (see `shrinkFile`), made by processes, so that a crash of a decoder costs one image.
 * @throws DataError (while iterating) if more than `maxBad` are damaged
 */
export async function* shrinkImages(
  dataset: ImageDataset,
  { size, indices, workers, ...reading }: ShrinkOptions,
): AsyncGenerator<ShrunkBatch> {
  const pool = createPool(workers, { isolate: true });
  const skips = readSkips(dataset, reading);
  const job = { mean: [], std: [], make: { kind: 'shrink', size } } as const;
  try {
    for await (const made of runAll(dataset, Int32Array.from(indices), job, { pool, batch: BATCH })) {
      skips.add(made.skipped);
      yield { indices: made.indices, files: made.files!, damaged: made.skipped.map(({ index }) => index) };
    }
  } finally {
    await pool.close();
  }
}
