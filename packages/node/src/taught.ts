/** Batches with the teacher's features of them, made ahead of the steps. */
import { counted, SettingError, say, settingRef } from '@moco-ts/core';
import {
  type Batch,
  embedAll,
  evalImages,
  type ImageBatch,
  type ImageDataset,
  type Pixels,
  type ReadOptions,
  sameView,
  type ViewConfig,
} from '@moco-ts/data';
import type { RunConfig, StepBatch } from '@moco-ts/run';
import { expectFinite } from './finite.ts';
import type { Teacher } from './teacher.ts';

/** How batches get their features. */
export interface Lessons {
  /** Views that the loader makes for the teacher, behind those of the method. */
  readonly views: readonly ViewConfig[];
  /** @param batches with these views as the last ones */
  of(batches: AsyncIterable<Batch<Pixels>>): AsyncIterable<StepBatch>;
}

/** Without a teacher. */
export const noLessons: Lessons = { views: [], of: (batches) => batches };

/** The teacher sees each view that the student sees, in the size that it takes. */
export function lessonsByView(teacher: Teacher, [first]: readonly ViewConfig[]): Lessons {
  return {
    views: [sameView(first!, 0, teacher.size, teacher.numbers)],
    async *of(batches) {
      for await (const batch of batches) {
        const features = await teacher.embed(batch.views.at(-1)!);
        expectFinite(features, teacher.dim, 'features');
        yield Object.assign(batch, { views: batch.views.slice(0, -1), teacher: features });
      }
    },
  };
}

/** Features that are kept: 4 GB. */
const mostValues = 2 ** 30;

/** Who waits for a teacher that sees all images. */
export interface Waiting {
  readonly stop: { readonly requested: boolean };
  /** Called with a line at each tenth of the images. */
  readonly note: (text: string) => void;
}

/**
 * The teacher sees each image once, under the eval transform; its features are kept in memory. It ends at a stop: then there are no
 * features for the steps, of which there should be none.
 * @throws SettingError for more of them than that
 */
export async function lessonsByImage(
  teacher: Teacher,
  dataset: ImageDataset,
  { batchSize }: Pick<RunConfig, 'batchSize'>,
  read: ReadOptions,
  waiting: Waiting,
): Promise<Lessons> {
  const { dim, size, numbers } = teacher;
  if (dataset.length * dim > mostValues)
    throw new SettingError(
      say`${settingRef('cacheTeacher', true)} keeps ${dim} numbers of ${dataset.length} images, more than 4 GB: leave it out`,
      { code: 'setting-conflict' },
    );
  const raw = numbers === 'bytes';
  const target = { size, ...(raw ? { mean: [0, 0, 0], std: [1, 1, 1] } : numbers) };
  const embed = async (images: Float32Array) => {
    const seen = raw ? Uint8Array.from(images, (value) => Math.round(255 * value)) : images;
    const features = await teacher.embed(seen);
    expectFinite(features, dim, 'features');
    return features;
  };
  const images = evalImages(dataset, target);
  const batches = (options?: ReadOptions) => watched(images.batches(options), dataset.length, waiting);
  const { features, rows } = await embedAll({ ...images, batches }, embed, { ...read, batch: batchSize });
  const rowOf = new Map(Array.from(rows, (image, row) => [image, row]));
  return {
    views: [],
    async *of(batches) {
      for await (const batch of batches) {
        const taught = new Float32Array(batch.indices.length * dim);
        batch.indices.forEach((image, i) => {
          const row = rowOf.get(image);
          if (row !== undefined) taught.set(features.subarray(row * dim, (row + 1) * dim), i * dim);
        });
        yield Object.assign(batch, { teacher: taught });
      }
    },
  };
}

/** The batches until a stop, one at least, with a line at each tenth of `images`. */
async function* watched(
  batches: AsyncIterable<ImageBatch>,
  images: number,
  { stop, note }: Waiting,
): AsyncGenerator<ImageBatch> {
  let [done, told] = [0, 0];
  for await (const batch of batches) {
    yield batch;
    if (stop.requested) return;
    done += batch.indices.length;
    const tenths = Math.floor((10 * done) / images);
    if (tenths > told && done < images) note(`The teacher has seen ${done} of ${counted(images, 'image')}`);
    told = tenths;
  }
}
