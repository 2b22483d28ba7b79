import type { ImageDataset, RgbImage } from '../dataset.ts';
import { surveyOf } from '../survey.ts';

/*
 * Decoded images of a small set, in memory that all threads share. Each image is written once, by whichever thread
 * decodes it first, and never moves.
 */

/** Largest cache of decoded images, in bytes. */
export const CACHE_BYTES = 512 * 2 ** 20;

/** The shared buffers; cloning this to a thread copies nothing. */
export interface CacheBuffers {
  readonly pixels: SharedArrayBuffer;
  /** Per image: state, width, height. */
  readonly entries: SharedArrayBuffer;
  /** Per image: offset into `pixels`; one more at the end: bytes in use. */
  readonly offsets: SharedArrayBuffer;
}

const EMPTY = 0;
const CLAIMED = 1;
const READY = 2;

/** Makes a cache if the whole set fits, estimated from a few images; undefined if it does not fit or needs none. */
export async function makeCache(
  dataset: ImageDataset,
  budget = CACHE_BYTES,
): Promise<CacheBuffers | undefined> {
  if (dataset.share?.().kind === 'raw' || dataset.length === 0) return undefined;
  const { bytes } = await surveyOf(dataset);
  if (bytes === undefined) return undefined;
  const estimate = Math.ceil(bytes * dataset.length * 1.25);
  if (estimate > budget) return undefined;
  return {
    pixels: new SharedArrayBuffer(estimate),
    entries: new SharedArrayBuffer(dataset.length * 3 * 4),
    offsets: new SharedArrayBuffer((dataset.length + 1) * 4),
  };
}

/** One thread's access to the cache. */
export interface Cache {
  get(index: number): RgbImage | undefined;
  /** Keeps the image if there is room. */
  put(index: number, image: RgbImage): void;
}

export function openCache(buffers: CacheBuffers): Cache {
  const entries = new Int32Array(buffers.entries);
  const offsets = new Int32Array(buffers.offsets);
  const used = offsets.length - 1;
  const capacity = buffers.pixels.byteLength;
  return {
    get(index) {
      const at = index * 3;
      if (Atomics.load(entries, at) !== READY) return undefined;
      const width = entries[at + 1]!;
      const height = entries[at + 2]!;
      return { width, height, data: new Uint8Array(buffers.pixels, offsets[index]!, width * height * 3) };
    },
    put(index, image) {
      const at = index * 3;
      const size = image.data.length;
      if (Atomics.load(offsets, used) + size > capacity) return;
      if (Atomics.compareExchange(entries, at, EMPTY, CLAIMED) !== EMPTY) return;
      const offset = Atomics.add(offsets, used, size);
      if (offset + size > capacity) {
        // Another thread took the room in between. The image stays claimed: decoded again each time.
        Atomics.sub(offsets, used, size);
        return;
      }
      new Uint8Array(buffers.pixels, offset, size).set(image.data);
      offsets[index] = offset;
      entries[at + 1] = image.width;
      entries[at + 2] = image.height;
      Atomics.store(entries, at, READY);
    },
  };
}

/** One cache per data set, shared by all its readers. */
const caches = new WeakMap<ImageDataset, Promise<CacheBuffers | undefined>>();

/** The cache of a data set, made when it is first asked for; undefined where there is none. */
export function cacheOf(dataset: ImageDataset): Promise<CacheBuffers | undefined> {
  let cache = caches.get(dataset);
  if (cache === undefined) {
    cache = makeCache(dataset);
    caches.set(dataset, cache);
  }
  return cache;
}
