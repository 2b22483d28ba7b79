import { stat } from 'node:fs/promises';
import { DataError } from '@moco-ts/core';
import type { DatasetSpec, ImageDataset, Split } from './dataset.ts';
import { openCifar } from './datasets/cifar.ts';
import { type Designer, openEmoji } from './datasets/emoji.ts';
import { openFolder } from './datasets/folder.ts';
import { openIdx } from './datasets/idx.ts';

/** Data sets that are known by name alone. */
export const BUILT_IN = ['emoji'] as const;

export interface OpenOptions {
  /** Default `'train'`. */
  readonly split?: Split;
  /** `emoji`: whose drawings; default google and twitter. */
  readonly designers?: readonly Designer[];
  /**
   * Image folders without a test/ or val/ of their own: the share of pictures, in [0, 1), that is left out of
   * `train` and makes up `test`, picked by a hash of the relative path. Default 0.
   */
  readonly holdOut?: number;
  /** Image folders: false ignores class folders. */
  readonly classes?: boolean;
}

/**
 * Opens a data set: a built-in set's name, an image folder (with or without class folders), a folder of
 * MNIST-style idx files, or a folder of CIFAR-10/100 binaries.
 * @throws DataError in one line: what is missing or damaged, and where
 */
export async function openDataset(data: string, options: OpenOptions = {}): Promise<ImageDataset> {
  if (data === 'emoji') return openEmoji(options);
  const entry = await stat(data).catch(() => undefined);
  if (entry === undefined) {
    const asPath = /[/\\.]/.test(data);
    throw new DataError(
      asPath
        ? `${data}: no such folder`
        : `${data}: no such folder, and no built-in data set of that name (built in: ${BUILT_IN.join(', ')})`,
    );
  }
  if (!entry.isDirectory())
    throw new DataError(`${data}: not a folder; give the folder that holds the pictures`);
  const split = options.split ?? 'train';
  return (await openIdx(data, split)) ?? (await openCifar(data, split)) ?? openFolder(data, options);
}

/** Opens the data set that a {@link DatasetSpec} describes, such as one stored with a run. */
export function reopenDataset(spec: DatasetSpec): Promise<ImageDataset> {
  return openDataset(spec.data, { ...(spec.options as OpenOptions | undefined), split: spec.split });
}
