/** Which images are trained on, and which are kept to measure on. */
import { counted, DataError, SettingError, say, settingRef } from '@moco-ts/core';
import { HELD_OUT, heldOut } from '@moco-ts/data';
import { FEWEST_IMAGES, type RunFlags } from '@moco-ts/run';
import { type Note, openData, openOwnTest } from '../dataset.ts';
import type { Wish } from '../plan.ts';
import type { ComparisonSets } from './compare.ts';
import { shareHeldOut } from './facts.ts';

export interface TrainingSets extends ComparisonSets {
  /** The share of the data that is held out, by which a run that goes on holds out the same images. */
  readonly holdOut?: number;
}

/**
 * A test split of the set's own, or that the user asks for, else a share by a fixed rule.
 * @throws UserError for data that can't be opened, and for too few images
 */
export async function openTrainingSets(
  flags: RunFlags,
  given: Pick<Wish, 'dataset' | 'test'>,
  note: Note,
): Promise<TrainingSets> {
  const { data } = flags;
  if (data === undefined)
    throw new SettingError(
      say`train needs ${settingRef('data')}: an image folder, an idx or CIFAR folder, or emoji`,
      { code: 'setting-missing' },
    );
  const named = { ...flags, data };
  const all = given.dataset ?? (await openData(named, 'train', note));
  if (all.length < FEWEST_IMAGES)
    throw new DataError(
      `${all.name} has ${counted(all.length, 'image')}: train needs at least ${FEWEST_IMAGES}, and hundreds to learn what lasts`,
      { setting: 'data', value: data },
    );
  const test = given.test ?? (given.dataset ? undefined : await openOwnTest(named, note));
  if (test) return { train: all, test, seen: false };
  const holdOut = shareOf(flags, all.length);
  if (holdOut === 0) return { train: all, test: all, seen: true };
  return { ...(await heldOut(all, holdOut)), seen: false, holdOut };
}

/** What is measured to choose a checkpoint is never trained on. */
function shareOf({ holdOut, select = 'none' }: RunFlags, images: number): number {
  const isChosen = select === 'retrieval' || select === 'knn';
  if (isChosen && holdOut === 0)
    throw new SettingError(
      say`${settingRef('select', select)} chooses by images that are not trained on, which ${settingRef('holdOut', 0)} leaves none of`,
      { code: 'setting-conflict', setting: 'holdOut', value: 0 },
    );
  return holdOut ?? (shareHeldOut(images) || (isChosen ? HELD_OUT : 0));
}
