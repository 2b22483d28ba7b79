import { UserError } from '@moco-ts/core';
import type { ImageDataset, RgbImage, Split } from './dataset.ts';

/** A data set of a program's own: images from a database, an archive, a camera, or made up. */
export interface OwnDataset {
  /** For messages and the run's record. */
  readonly name: string;
  /** Number of images. */
  readonly length: number;
  /**
   * One image, the same each time: RGB, 8 bit, `[height, width, 3]`. Throw a `DataError` for a damaged one: it is left
   * out and reported; any other error ends the run.
   * @param index in [0, length)
   */
  decode(index: number): RgbImage | Promise<RgbImage>;
  /** A stable name of an image; default its index. */
  id?(index: number): string;
  /** Names of the classes, where there are labels. */
  readonly classes?: readonly string[];
  /** An index into `classes`. */
  label?(index: number): number | undefined;
}

/**
 * A program's own set as a data set like those that come with MoCo.ts. Its images are decoded in the calling thread, once
 * where all fit into half a gigabyte; views are made of them in the pool's threads.
 * @returns the set itself if it is one already
 * @throws UserError for a set without a name or images; `decode` does for data that are not `[height, width, 3]`
 */
export function defineDataset(own: OwnDataset | ImageDataset, split: Split = 'train'): ImageDataset {
  if ('source' in own) return own;
  const { name, length, classes } = own;
  if (typeof name !== 'string' || name === '') throw new UserError('a data set should have a name');
  if (!Number.isSafeInteger(length) || length < 1)
    throw new UserError(`${name}: its length is ${length}; give the number of images, from 1`);
  if (typeof own.decode !== 'function') throw new UserError(`${name}: a data set should have decode(index)`);
  return {
    name,
    length,
    ...(classes && { classes }),
    label: (index) => own.label?.(index),
    id: (index) => own.id?.(index) ?? String(index),
    decode: async (index) => checkedImage(await own.decode(index), `${name}: decode(${index})`),
    source: { data: `object:${name}`, split },
    share: () => ({ kind: 'here' }),
  };
}

/** @throws UserError for data that are not `[height, width, 3]`; `what` begins its message */
export function checkedImage({ width, height, data }: RgbImage, what: string): RgbImage {
  if (!(data instanceof Uint8Array) && !((data as unknown) instanceof Uint8ClampedArray))
    throw new UserError(`${what} should give data as a Uint8Array`);
  if (!(width >= 1 && height >= 1) || data.length !== width * height * 3)
    throw new UserError(
      `${what} gave ${data.length} bytes for ${width} x ${height} pixels; RGB has ${width * height * 3}`,
    );
  return { width, height, data };
}
