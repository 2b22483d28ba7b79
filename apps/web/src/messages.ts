/** What the page and its workers tell each other. */
import type { MetricGroup } from '@moco-ts/run';
import type { ImageInfo, Sheet } from './sheet.ts';

export type Source =
  /** The built-in set: addresses of its sheet. */
  | { readonly kind: 'emoji'; readonly image: string; readonly list: string }
  | {
      readonly kind: 'folder';
      readonly name: string;
      readonly files: readonly File[];
      /** Draws those that are taken, where there are too many. */
      readonly seed: number;
    };

/** What may be taken home. */
export type FileKind = 'model' | 'checkpoint' | 'features';

export type ToTrainer =
  | { readonly type: 'open'; readonly source: Source }
  /** @property given what the form holds, by the names of its fields */
  | { readonly type: 'start'; readonly given: Readonly<Record<string, string>> }
  | { readonly type: 'pause' }
  | { readonly type: 'go-on' }
  | { readonly type: 'save'; readonly kind: FileKind };

/** A square RGBA image. */
export interface Pixels {
  readonly size: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export interface Opened {
  readonly type: 'opened';
  readonly name: string;
  readonly sheet: Sheet;
  readonly image: Blob;
  /** Files that are no readable images. */
  readonly skipped: readonly string[];
  /** Images that were not drawn, since a tab takes no more. */
  readonly left: number;
}

export interface Started {
  readonly type: 'started';
  readonly backend: string;
  /** What is not as it was asked for, and why. */
  readonly note?: string;
  readonly arch: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly queue: number;
  /** log(K + 1). */
  readonly chance: number;
  /** What its steps measure, undefined for a method that only has a loss. */
  readonly measure?: Measure;
}

/** What the steps of a method measure, besides the loss. */
export type Measure = Pick<MetricGroup, 'title' | 'unit' | 'note'>;

export interface Stepped {
  readonly type: 'step';
  /** Steps that are done. */
  readonly step: number;
  readonly loss: number;
  /** In the unit of {@link Measure}. */
  readonly measured?: number;
  readonly milliseconds: number;
  /** Of one image of the batch, now and then. */
  readonly views?: { readonly image: number; readonly query: Pixels; readonly key: Pixels };
}

export interface Features {
  readonly type: 'features';
  readonly step: number;
  readonly dim: number;
  /** [images, dim] */
  readonly data: Float32Array<ArrayBuffer>;
}

export type FromTrainer =
  | Opened
  /** A first step is tried, for which kernels are compiled: it may take a while. */
  | { readonly type: 'compiling'; readonly backend: string }
  | Started
  | Stepped
  | Features
  | { readonly type: 'finished' }
  | { readonly type: 'file'; readonly kind: FileKind; readonly name: string; readonly blob: Blob }
  /** @property over whether the training can't go on */
  | { readonly type: 'failed'; readonly message: string; readonly over: boolean };

export interface ToMapper {
  /** Counts what was opened and started: maps of an earlier training are of no use. */
  readonly training: number;
  readonly step: number;
  readonly dim: number;
  readonly features: Float32Array<ArrayBuffer>;
  /** Subjects as numbers, -1 for unknown. */
  readonly subjects: Int32Array;
}

export interface Mapped {
  readonly training: number;
  readonly step: number;
  /** [images, 2], in [0, 1]. */
  readonly positions: Float32Array<ArrayBuffer>;
  /** [images, k], the nearest first. */
  readonly neighbours: Int32Array<ArrayBuffer>;
  /** Cosines, [images, k]. */
  readonly similarities: Float32Array<ArrayBuffer>;
  readonly k: number;
  /** Percent of the images whose nearest shows the same; undefined where no subjects are known. */
  readonly agreement?: number;
}

export type { ImageInfo, Sheet };
