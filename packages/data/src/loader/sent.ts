/** Images of a set that only its own thread can decode, on their way to the threads that make views of them. */
import { DataError } from '@moco-ts/core';
import type { ImageDataset, RgbImage } from '../dataset.ts';
import { type CacheBuffers, openCache } from './cache.ts';
import { type Job, read, type Skipped } from './job.ts';

/** Images, or why there is none, by their indices. */
export type Sent = ReadonlyMap<number, RgbImage | Skipped>;

/** Decodes in flight. */
const CONCURRENCY = 8;

/**
 * Decodes what a job needs and the cache lacks: its rows, then as many spares as rows are damaged.
 * @throws what the data set throws, except DataErrors
 */
export async function gather(
  dataset: ImageDataset,
  { indices, rows }: Job,
  buffers: CacheBuffers | undefined,
): Promise<Sent> {
  const cache = buffers && openCache(buffers);
  const reader = { decode: (index: number) => dataset.decode(index), ...(cache && { cache }) };
  const sent = new Map<number, RgbImage | Skipped>();
  let next = 0;
  let good = 0;
  const take = async (until: () => boolean) => {
    while (next < indices.length && !until()) {
      const index = indices[next++]!;
      if (cache?.get(index) === undefined) {
        const image = await read(reader, index);
        // A copy: the buffer that is sent must be neither part of a larger one nor the data set's own.
        if ('reason' in image) sent.set(index, image);
        else if (cache?.get(index) === undefined) sent.set(index, { ...image, data: image.data.slice() });
        if ('reason' in image) continue;
      }
      good++;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, () => take(() => next >= rows)));
  await take(() => good >= rows);
  return sent;
}

/** The thread's side. */
export function decoderOfSent(sent: Sent): (index: number) => Promise<RgbImage> {
  return async (index) => {
    const image = sent.get(index);
    if (image === undefined) throw new Error(`image ${index} was not sent`);
    if ('reason' in image) throw new DataError(image.reason);
    return image;
  };
}
