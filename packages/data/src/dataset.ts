/** What every data set offers, independent of its format. */
import { DataError, type ErrorCode } from '@moco-ts/core';

/** The data are there, but not the split that is asked for. */
export class MissingSplit extends DataError {
  static override readonly code: ErrorCode = 'data-split-missing';
}

/** A decoded image: `data` is RGB, 8 bit, `[height, width, 3]`. */
export interface RgbImage {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** `width * height * 3` bytes. */
  readonly data: Uint8Array;
  /** What was left out of it, if anything. */
  readonly note?: string;
}

export interface DecodeOptions {
  /** A smaller image will do, with a longer side of this many pixels. */
  readonly within?: number;
}

/** How to open a data set again: plain JSON, to be stored with a run or sent to a thread. */
export interface DatasetSpec {
  readonly data: string;
  readonly split: Split;
  readonly options?: Record<string, unknown>;
}

export type Split = 'train' | 'test';

/** A finite, ordered list of images. The order does not depend on the file system. */
export interface ImageDataset {
  /** For messages and the run's record. */
  readonly name: string;
  /** Number of images. */
  readonly length: number;
  /** Names of the classes, indexed by {@link ImageDataset.label}; absent when the set has no labels. */
  readonly classes?: readonly string[];
  /** Why there are no classes, to go on with "NAME has no labels: ". */
  readonly unlabelled?: string;
  /** What a user should know of how it was read, in lines that name the data. */
  readonly notes?: readonly string[];
  /** An index into `classes`; undefined without labels, and for an image that has none. */
  label(index: number): number | undefined;
  /** A stable name: a path relative to the folder (bytes that are not UTF-8 as `\xe9`), `train/17`, `google/1f600`. */
  id(index: number): string;
  /**
   * @param options may ask for a smaller image where that costs less; a set need not heed them
   * @throws DataError naming the file, if the image is damaged.
   */
  decode(index: number, options?: DecodeOptions): Promise<RgbImage>;
  /** How to open it again. */
  readonly source: DatasetSpec;
  /** What a thread of this process needs to decode the same images without scanning or loading again. */
  share?(): SharedImages;
}

/** Images as a thread sees them: cloned or shared, never scanned again. */
export type SharedImages =
  /** The thread of the data set decodes, and sends. */
  | { readonly kind: 'here' }
  | { readonly kind: 'files'; readonly root: string; readonly paths: readonly string[] }
  | ({ readonly kind: 'raw' } & RawImages);

/** Fixed-size images that lie uncompressed in one shared buffer. */
export interface RawImages {
  readonly bytes: SharedArrayBuffer;
  readonly length: number;
  readonly width: number;
  readonly height: number;
  /** 1 (grey, repeated to RGB) or 3 (planes R, G, B). */
  readonly channels: 1 | 3;
}
