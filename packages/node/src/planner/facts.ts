/** What a few images tell of a set: their size and colours, and how long it takes to read them. */
import { byteDuplicates, createPool, type ImageDataset, lookAtImages } from '@moco-ts/data';
import type { RunFlags } from '@moco-ts/run';
import { withOpened } from '../opened.ts';
import { defaultWorkers } from '../plugins.ts';

export interface DataFacts {
  /** Images that are trained on. */
  readonly images: number;
  /** Images that are measured on alone; 0 where there are too few to hold any out. */
  readonly heldOut: number;
  /** In pixels, the median of those that were looked at. */
  readonly width: number;
  readonly height: number;
  /** No image that was looked at has a colour. */
  readonly grey: boolean;
  /** Images that equal an earlier one byte for byte; undefined where that was not looked for. */
  readonly duplicates?: number;
  /** Of its labels, which are not trained on. */
  readonly classes?: number;
}

/** Images that are decoded, spread over the set. */
const LOOKED_AT = 24;

/**
 * @param dataset that is trained on
 * @param heldOut images that are not
 * @param flags with `isolate`, processes decode
 * @throws what decoding throws, except for damaged images
 */
export async function lookAt(
  dataset: ImageDataset,
  heldOut: number,
  { isolate = false, workers = defaultWorkers() }: Pick<RunFlags, 'isolate' | 'workers'> = {},
): Promise<DataFacts> {
  const { length: images, classes } = dataset;
  const tried = Math.min(LOOKED_AT, images);
  const indices = Array.from({ length: tried }, (_, i) => Math.floor((i * images) / tried));
  // Threads take longer to start than a few images to decode.
  const looks = await withOpened((keep) =>
    lookAtImages(dataset, indices, keep(createPool(isolate ? workers : 0, { isolate }))),
  );
  const duplicates = await byteDuplicates(dataset);
  return {
    images,
    heldOut,
    width: median(looks.map(({ width }) => width)),
    height: median(looks.map(({ height }) => height)),
    grey: looks.length > 0 && looks.every(({ grey }) => grey),
    ...(duplicates !== undefined && { duplicates }),
    ...(classes && { classes: classes.length }),
  };
}

/** Of an even number of values the larger of the two in the middle; 0 without any. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Images to measure on: a tenth, and no more than tell one encoder from another. */
const MOST_HELD_OUT = 1000;
/** Of fewer images none is held out: measuring on a handful says nothing. */
const FEWEST_TO_DIVIDE = 100;

/** The share of a set without a test split to hold out. */
export const shareHeldOut = (images: number): number =>
  images < FEWEST_TO_DIVIDE ? 0 : Math.min(0.1, MOST_HELD_OUT / images);
