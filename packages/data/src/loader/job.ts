import { DataError, rng } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import { applyEvalTransform, applyView, type Pixels, type Target } from '../views/apply.ts';
import type { Numbers, ViewConfig } from '../views/config.ts';
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
  readonly make: PixelJob | ShrinkJob | LookJob;
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

/** What images show at a glance. */
interface LookJob {
  readonly kind: 'look';
}

export interface Look {
  /** In pixels. */
  readonly width: number;
  readonly height: number;
  /** It has no colour. */
  readonly grey: boolean;
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
  /** The same, where looks were asked for. */
  readonly looks?: readonly Look[];
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
  if (make.kind === 'shrink') return shrinkAll(reader, job.indices, make);
  return make.kind === 'look' ? lookAtAll(reader, job.indices) : makePixels(reader, job, make);
}

async function makePixels(
  reader: ImageReader,
  { indices, rows, mean, std }: Job,
  make: PixelJob,
): Promise<JobResult> {
  const { ahead = AHEAD } = reader;
  const targets = targetsOf(make, { mean, std });
  const views = targets.map(
    ({ length, bytes }) => new (bytes ? Uint8Array : Float32Array)(rows * length),
    // Typed as floats: who asks for bytes knows better.
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
    : compact({ indices: kept, views, skipped }, targets);

  function fill(image: RgbImage, index: number, row: number): void {
    kept[row] = index;
    for (const [v, { target, length }] of targets.entries()) {
      if (make.kind === 'eval') {
        applyEvalTransform(image, target, make.resize, views[v], row * length);
        continue;
      }
      const config = make.configs[v]!;
      const random = rng(make.seed, `${make.purpose}.${config.of ?? v}`, make.epoch, index);
      const params = sampleView(config, random, image.width, image.height);
      applyView(image, params, target, views[v], row * length);
    }
  }
}

/** Where a view's numbers go. */
interface ViewTarget {
  readonly target: Target;
  /** Numbers of one image. */
  readonly length: number;
  readonly bytes: boolean;
}

function targetsOf(make: PixelJob, usually: Exclude<Numbers, 'bytes'>): ViewTarget[] {
  const of = (size: number, numbers: Numbers): ViewTarget => {
    const bytes = numbers === 'bytes';
    return { target: { size, ...(bytes ? usually : numbers) }, length: 3 * size * size, bytes };
  };
  if (make.kind === 'eval') return [of(make.size, usually)];
  const usual = make.bytes ? 'bytes' : usually;
  return make.configs.map(({ size, numbers = usual }) => of(size, numbers));
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
  const { shrink } = reader;
  if (!shrink) throw new Error('a set that is not of files was to be shrunk');
  const { made, ...rest } = await makeEach(reader, indices, (index) => shrink(index, size));
  return { ...rest, views: [], files: made };
}

async function lookAtAll(reader: ImageReader, indices: Int32Array): Promise<JobResult> {
  const look = async (index: number): Promise<Look> => {
    const { width, height, data } = await reader.decode(index);
    return { width, height, grey: isGrey(data) };
  };
  const { made, ...rest } = await makeEach(reader, indices, look);
  return { ...rest, views: [], looks: made };
}

/** @param data RGB bytes */
function isGrey(data: Uint8Array): boolean {
  for (let at = 0; at < data.length; at += 3)
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  return true;
}

/** Makes something of each image but the damaged ones. */
async function makeEach<T extends object>(
  { ahead = AHEAD }: ImageReader,
  indices: Int32Array,
  make: (index: number) => Promise<T>,
) {
  const all: (T | Skipped)[] = [];
  let next = 0;
  const take = async () => {
    while (next < indices.length) {
      const at = next++;
      const index = indices[at]!;
      all[at] = await orSkipped(index, () => make(index));
    }
  };
  await Promise.all(Array.from({ length: ahead }, take));
  const isSkipped = (one: T | Skipped): one is Skipped => 'reason' in one;
  return {
    indices: indices.filter((_, at) => !isSkipped(all[at]!)),
    made: all.filter((one): one is T => !isSkipped(one)),
    skipped: all.filter(isSkipped),
  };
}

/** Closes the gaps that damaged images left. */
function compact(result: JobResult, targets: readonly ViewTarget[]): JobResult {
  const rows = [...result.indices.keys()].filter((row) => result.indices[row]! >= 0);
  const views = result.views.map((view, v) => {
    const { length } = targets[v]!;
    rows.forEach((row, i) => {
      view.copyWithin(i * length, row * length, (row + 1) * length);
    });
    return view.slice(0, rows.length * length);
  });
  return { indices: Int32Array.from(rows, (row) => result.indices[row]!), views, skipped: result.skipped };
}
