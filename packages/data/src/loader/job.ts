import { DataError, rng } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import { applyEvalTransform, applyView, type Pixels, type Target } from '../views/apply.ts';
import type { ViewConfig } from '../views/config.ts';
import { sampleView } from '../views/sample.ts';
import type { Cache } from './cache.ts';

/** What to make of the images of one batch; plain data, so that a thread can do it. */
export interface Job {
  /** The batch, then spares in the order in which they stand in for damaged images. */
  readonly indices: Int32Array;
  /** How many rows the batch should have. */
  readonly rows: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly make: PixelJob | ShrinkJob;
}

/** The pixels of views, or of whole images for an encoder. */
type PixelJob =
  | {
      readonly kind: 'views';
      readonly configs: readonly ViewConfig[];
      readonly seed: number;
      readonly epoch: number;
      readonly purpose: string;
      /** Leave the normalisation to who takes them. */
      readonly bytes?: boolean;
    }
  | { readonly kind: 'eval'; readonly size: number; readonly resize?: number };

/** Smaller files in place of views, of a set of files alone. */
interface ShrinkJob {
  readonly kind: 'shrink';
  /** Pixels of the shorter side, at most. */
  readonly size: number;
}

export interface Skipped {
  readonly index: number;
  readonly reason: string;
}

export interface JobResult<P extends Pixels = Float32Array> {
  /** The images that the rows hold: fewer than asked for if the spares ran out. */
  readonly indices: Int32Array;
  /** Per view `[rows, 3, S, S]`. */
  readonly views: P[];
  readonly skipped: Skipped[];
  /** Of the images of `indices`, where files were asked for. */
  readonly files?: readonly Uint8Array[];
}

/** A thread's way to the images of one data set. */
export interface ImageReader {
  decode(index: number): Promise<RgbImage>;
  /** Of a set of files: a smaller one. */
  shrink?(index: number, size: number): Promise<Uint8Array>;
  /** Decodes that may be in flight while a view is computed, so that a thread is not idle during a decode; default 4. */
  readonly ahead?: number;
  readonly cache?: Cache;
}

const AHEAD = 4;

/** Makes one batch. A row depends on (seed, epoch, image, view) alone. */
export function runJob(reader: ImageReader, job: Job): Promise<JobResult> {
  const { make } = job;
  return make.kind === 'shrink' ? shrinkAll(reader, job.indices, make) : makePixels(reader, job, make);
}

async function makePixels(
  reader: ImageReader,
  { indices, rows, mean, std }: Job,
  make: PixelJob,
): Promise<JobResult> {
  const { ahead = AHEAD } = reader;
  const side = make.kind === 'eval' ? make.size : make.configs[0]!.size;
  const numbers = 3 * side * side;
  const count = make.kind === 'eval' ? 1 : make.configs.length;
  // Typed as floats: who asks for bytes knows better.
  const Numbers = make.kind === 'views' && make.bytes ? Uint8Array : Float32Array;
  const views = Array.from(
    { length: count },
    () => new Numbers(rows * numbers),
  ) as Float32Array<ArrayBuffer>[];
  const kept = new Int32Array(rows);
  const skipped: Skipped[] = [];

  const standIns: { row: number }[] = [];
  const pending = new Map<number, Promise<RgbImage | Skipped>>();
  const start = (slot: number) => {
    if (slot >= indices.length || pending.has(slot)) return;
    const image = read(reader, indices[slot]!);
    // Met where it is awaited, unless the job has failed before.
    image.catch(() => undefined);
    pending.set(slot, image);
  };
  async function load(slot: number, lookahead: number): Promise<RgbImage | undefined> {
    const index = indices[slot]!;
    const cached = reader.cache?.get(index);
    if (cached !== undefined) return cached;
    for (let s = slot; s < Math.min(slot + ahead, lookahead); s++) {
      if (s === slot || reader.cache?.get(indices[s]!) === undefined) start(s);
    }
    const image = await pending.get(slot)!;
    pending.delete(slot);
    if ('data' in image) return image;
    skipped.push(image);
    return undefined;
  }
  for (let row = 0; row < rows; row++) {
    const image = await load(row, rows);
    if (image === undefined) standIns.push({ row });
    else fill(image, indices[row]!, row);
  }
  let spare = rows;
  let missing = 0;
  for (const { row } of standIns) {
    let image: RgbImage | undefined;
    while (image === undefined && spare < indices.length) image = await load(spare++, spare);
    if (image === undefined) {
      missing++;
      kept[row] = -1;
    } else fill(image, indices[spare - 1]!, row);
  }
  return missing === 0
    ? { indices: kept, views, skipped }
    : compact({ indices: kept, views, skipped }, numbers);

  function fill(image: RgbImage, index: number, row: number): void {
    kept[row] = index;
    const target: Target = { size: side, mean, std };
    if (make.kind === 'eval') {
      applyEvalTransform(image, target, make.resize, views[0], row * numbers);
      return;
    }
    for (let v = 0; v < make.configs.length; v++) {
      const random = rng(make.seed, `${make.purpose}.${v}`, make.epoch, index);
      const params = sampleView(make.configs[v]!, random, image.width, image.height);
      applyView(image, params, target, views[v], row * numbers);
    }
  }
}

/** Decodes, and keeps in the cache what can be kept. */
export async function read(reader: ImageReader, index: number): Promise<RgbImage | Skipped> {
  return orSkipped(index, async () => {
    const image = await reader.decode(index);
    reader.cache?.put(index, image);
    return image;
  });
}

/** What is made of an image, or why nothing can be. */
async function orSkipped<T>(index: number, make: () => Promise<T>): Promise<T | Skipped> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof DataError) return { index, reason: error.message };
    throw error;
  }
}

async function shrinkAll(reader: ImageReader, indices: Int32Array, { size }: ShrinkJob): Promise<JobResult> {
  const { shrink, ahead = AHEAD } = reader;
  if (!shrink) throw new Error('a set that is not of files was to be shrunk');
  const made: (Uint8Array | Skipped)[] = [];
  let next = 0;
  const take = async () => {
    while (next < indices.length) {
      const at = next++;
      const index = indices[at]!;
      made[at] = await orSkipped(index, () => shrink(index, size));
    }
  };
  await Promise.all(Array.from({ length: ahead }, take));
  return {
    indices: indices.filter((_, at) => made[at] instanceof Uint8Array),
    views: [],
    skipped: made.filter((each): each is Skipped => !(each instanceof Uint8Array)),
    files: made.filter((each) => each instanceof Uint8Array),
  };
}

/** Closes the gaps that damaged images left. */
function compact(result: JobResult, numbers: number): JobResult {
  const rows = [...result.indices.keys()].filter((row) => result.indices[row]! >= 0);
  const views = result.views.map((view) => {
    rows.forEach((row, i) => {
      view.copyWithin(i * numbers, row * numbers, (row + 1) * numbers);
    });
    return view.slice(0, rows.length * numbers);
  });
  return { indices: Int32Array.from(rows, (row) => result.indices[row]!), views, skipped: result.skipped };
}
