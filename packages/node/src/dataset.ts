import { DataError, type SettingRef, say, settingRef } from '@moco-ts/core';
import {
  type Designer,
  type ImageDataset,
  type OpenOptions,
  openDataset,
  openSplits,
  openTest,
  type Split,
  type Splits,
  surveyOf,
} from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';

export type DataSettings = Pick<RunConfig, 'data' | 'designers' | 'holdOut' | 'labels' | 'isolate'>;

/** Called with remarks about the data for the user, each once. */
export type Note = (text: string) => void;

/** Opens the data of a run. @throws DataError when there are none, or only another program has them */
export async function openData(settings: DataSettings, split: Split, note: Note): Promise<ImageDataset> {
  const dataset = await openDataset(nameOf(settings), { ...optionsOf(settings), split });
  await tell(dataset, settings, note);
  return dataset;
}

/**
 * Opens data by the name that a run or a file has for them, and not the user.
 * @param holder whose name it is
 * @param flag by which the user names them
 * @throws DataError that says so, where there is nothing of that name
 */
export async function asStored<T>(
  holder: string,
  open: () => Promise<T>,
  flag: string | SettingRef = settingRef('data'),
): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof DataError) || error.code !== 'file-missing') throw error;
    throw new DataError(
      say`${error.text}: so ${holder} names its data, which may have moved, or been named from another folder; name them by ${flag}`,
      error,
    );
  }
}

/**
 * Both splits; a labelled set without a test split is divided.
 * @param surveyed the values of the images were looked at already
 */
export async function openDataSplits(settings: DataSettings, note: Note, surveyed = false): Promise<Splits> {
  const splits = await openSplits(nameOf(settings), optionsOf(settings));
  await tell(splits.train, settings, note, surveyed);
  if (splits.test) await tell(splits.test, settings, note);
  if (splits.note !== undefined) note(splits.note);
  return splits;
}

/** The test split that a set has of its own, or a share that is held out by the user's wish. */
export async function openOwnTest(settings: DataSettings, note: Note): Promise<ImageDataset | undefined> {
  const test = await openTest(nameOf(settings), optionsOf(settings));
  if (test) await tell(test, settings, note);
  return test;
}

/** What a user should know of a set: how it was read, and the values of its images. */
async function tell(
  dataset: ImageDataset,
  { isolate }: DataSettings,
  note: Note,
  surveyed = false,
): Promise<void> {
  for (const text of dataset.notes ?? []) note(text);
  // With --isolate nothing is decoded in this process, which a decoder's defect would end. The other split has the same to tell.
  if (!surveyed && isolate !== true && dataset.source.split === 'train')
    for (const text of (await surveyOf(dataset)).notes) note(text);
}

function nameOf({ data }: DataSettings): string {
  if (data.startsWith('object:'))
    throw new DataError(
      `${data.slice(7)} was a data set object of a program, which alone can open it; name the data`,
      { code: 'setting-missing', setting: 'data', value: data },
    );
  return data;
}

function optionsOf({ designers, holdOut, labels }: DataSettings): Omit<OpenOptions, 'split'> {
  return {
    ...(designers && { designers: designers as readonly Designer[] }),
    ...(holdOut !== undefined && { holdOut }),
    ...(labels === false && { classes: false }),
  };
}
