import { stat } from 'node:fs/promises';
import { DataError } from '@moco-ts/core';
import { type DatasetSpec, type ImageDataset, MissingSplit, type Split } from './dataset.ts';
import { openCifar } from './datasets/cifar.ts';
import { type Designer, openEmoji } from './datasets/emoji.ts';
import { openFolder } from './datasets/folder.ts';
import { openIdx } from './datasets/idx.ts';
import { ifMissing, patiently } from './machine.ts';
import { divide } from './subset.ts';

/** Data sets that are known by name alone. */
export const BUILT_IN = ['emoji'] as const;

export interface OpenOptions {
  /** Default `'train'`. */
  readonly split?: Split;
  /** `emoji`: whose drawings; default google and twitter. */
  readonly designers?: readonly Designer[];
  /**
   * Image folders without a test/ or val/ of their own: the share of images, in [0, 1), that is left out of
   * `train` and makes up `test`, picked by a hash of the relative path. Default 0.
   */
  readonly holdOut?: number;
  /** False: class folders are no classes, and labels are not read. `emoji` has no such choice. */
  readonly classes?: boolean;
}

/**
 * Opens a data set: a built-in set's name, an image folder (with or without class folders), a folder of
 * MNIST-style idx files, or a folder of CIFAR-10/100 binaries.
 * @throws DataError in one line: what is missing or damaged, and where
 */
export async function openDataset(data: string, options: OpenOptions = {}): Promise<ImageDataset> {
  if (data === 'emoji') return openEmoji(options);
  const entry = await patiently(data, () => stat(data)).catch(ifMissing);
  if (entry === undefined) {
    const asPath = /[/\\.]/.test(data);
    throw new DataError(
      asPath
        ? `${data}: no such folder`
        : `${data}: no such folder, and no built-in data set of that name (built in: ${BUILT_IN.join(', ')})`,
      { code: 'file-missing', setting: 'data', value: data },
    );
  }
  if (!entry.isDirectory())
    throw new DataError(`${data}: not a folder; give the folder that holds the images`, {
      setting: 'data',
      value: data,
    });
  const split = options.split ?? 'train';
  const records = (await openIdx(data, split)) ?? (await openCifar(data, split));
  if (records === undefined) return openFolder(data, options);
  return options.classes === false ? withoutLabels(records) : records;
}

function withoutLabels({ classes: _, ...dataset }: ImageDataset): ImageDataset {
  return { ...dataset, label: () => undefined };
}

/** Opens the data set that a {@link DatasetSpec} describes, such as one stored with a run. */
export function reopenDataset(spec: DatasetSpec): Promise<ImageDataset> {
  return openDataset(spec.data, { ...(spec.options as OpenOptions | undefined), split: spec.split });
}

/** The share of images that is held out of a set without a test split. */
export const HELD_OUT = 0.2;

export interface Splits {
  readonly train: ImageDataset;
  /** Missing where a set without labels has none. */
  readonly test?: ImageDataset;
  /** Why they are divided otherwise than the user said. */
  readonly note?: string;
}

/**
 * Both splits of a set. Where a labelled one has no test split, or one without labels, a fifth of the training split is
 * held out by a hash of the ids.
 * @throws DataError as {@link openDataset} does
 */
export async function openSplits(data: string, options: Omit<OpenOptions, 'split'> = {}): Promise<Splits> {
  const train = await openDataset(data, { ...options, split: 'train' });
  const test = await openTest(data, options);
  if (train.classes === undefined || test?.classes !== undefined) return { train, ...(test && { test }) };
  const why = test === undefined ? 'no test split' : 'no labels in its test split';
  const parts = await heldOut(train, options.holdOut || HELD_OUT);
  const count = `${parts.test.length} of ${train.length} images are held out by a fixed rule`;
  return { ...parts, note: `${data}: ${why}: ${count}` };
}

/** The test split; undefined where there is none. @throws DataError if it is damaged */
export function openTest(
  data: string,
  options: Omit<OpenOptions, 'split'> = {},
): Promise<ImageDataset | undefined> {
  return openDataset(data, { ...options, split: 'test' }).catch((error: unknown) => {
    if (error instanceof MissingSplit) return undefined;
    throw error;
  });
}

/**
 * A set with a share of its images held out: by the rule of `holdOut`, by which a folder can be opened again; where that leaves
 * nothing on one side, and of sets that have no such rule, by {@link divide}.
 * @param share in (0, 1)
 */
export async function heldOut(train: ImageDataset, share: number): Promise<Required<Omit<Splits, 'note'>>> {
  const { data, options } = train.source;
  const open = (split: Split) => openDataset(data, { ...options, holdOut: share, split });
  try {
    const [rest, test] = [await open('train'), await open('test')];
    const hasLabels = train.classes === undefined || test.classes !== undefined;
    if (rest.length < train.length && hasLabels) return { train: rest, test };
  } catch (error) {
    // Among them those of a program's own set, which it alone can open.
    if (!(error instanceof DataError)) throw error;
  }
  return divide(train, share);
}
