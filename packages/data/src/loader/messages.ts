import { type About, DataError, UserError } from '@moco-ts/core';
import type { DatasetSpec, ImageDataset, SharedImages } from '../dataset.ts';
import { decoderOf } from '../decode.ts';
import { MachineError } from '../machine.ts';
import { reopenDataset } from '../open.ts';
import { shrinkFile } from '../shrink.ts';
import type { CacheBuffers } from './cache.ts';
import { openCache } from './cache.ts';
import type { ImageReader, Job, JobResult } from './job.ts';
import { decoderOfSent, type Sent } from './sent.ts';

/** To a thread: a data set to read from, or a batch to make. */
export type ToWorker =
  | {
      readonly kind: 'attach';
      readonly dataset: number;
      readonly images: Images;
      readonly cache?: CacheBuffers;
    }
  | {
      readonly kind: 'job';
      readonly id: number;
      readonly dataset: number;
      readonly job: Job;
      /** Of a set that decodes elsewhere: its images, as far as the cache lacks them. */
      readonly sent?: Sent;
      /** Images that crash the thread or process that decodes them, with the message for each. */
      readonly lethal?: ReadonlyMap<number, string>;
      /** Announce each image before it is decoded, one at a time. */
      readonly careful?: boolean;
    };

export type Images = SharedImages | { readonly kind: 'reopen'; readonly spec: DatasetSpec };

/** From a thread: a batch, or why there is none. */
export type FromWorker =
  | { readonly decoding: number }
  | { readonly id: number; readonly result: JobResult }
  | { readonly id: number; readonly error: SentError };

/** An error as a message holds it: a clone would lose its class. */
export interface SentError {
  readonly kind: keyof typeof kinds | 'defect';
  /** Of a defect: its stack. */
  readonly text: string;
  readonly about: Pick<About, 'code' | 'setting' | 'value'>;
}

const kinds = { data: DataError, machine: MachineError, user: UserError } as const;

export function sentError(error: unknown): SentError {
  if (!(error instanceof UserError)) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { kind: 'defect', text, about: {} };
  }
  const kind = error instanceof DataError ? 'data' : error instanceof MachineError ? 'machine' : 'user';
  const { message, code, setting, value } = error;
  return { kind, text: message, about: { code, setting, value } };
}

export const errorOf = ({ kind, text, about }: SentError): Error =>
  kind === 'defect' ? new Error(text) : new kinds[kind](text, about);

export function imagesOf(dataset: ImageDataset): Images {
  return dataset.share?.() ?? { kind: 'reopen', spec: dataset.source };
}

export async function readerOf(images: Images, cache?: CacheBuffers): Promise<ImageReader> {
  const decode =
    images.kind === 'reopen'
      ? await reopenDataset(images.spec).then((set) => (index: number) => set.decode(index))
      : images.kind === 'here'
        ? decoderOfSent(new Map())
        : decoderOf(images);
  return {
    decode,
    ...(images.kind === 'files' && {
      shrink: (index: number, size: number) => shrinkFile(images.root, images.paths[index]!, size),
    }),
    ...(cache === undefined ? {} : { cache: openCache(cache) }),
  };
}
