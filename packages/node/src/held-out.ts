/** What a run that chooses its best checkpoint trains on, and what it is chosen by: images that it does not train on. */
import { DataError, SettingError, say, settingRef } from '@moco-ts/core';
import { HELD_OUT, heldOut, type ImageDataset } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';
import { type Note, openOwnTest } from './dataset.ts';
import type { EvaluationSets } from './evaluate.ts';

/** More are not measured on. */
const ENOUGH = 5000;

export interface ChoosingSets {
  /** With `holdOut` where that names the images that were held out. */
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  readonly evaluateOn: EvaluationSets;
}

/**
 * Holds out images of a set that has no test split, by a hash of their ids: the same ones each time that the run goes on, and in
 * `moco knn`.
 * @param dataset the training split, without what `config.holdOut` says
 * @param test given by a program
 * @throws SettingError where kNN is to choose, and there are no labels
 */
export async function choosingSets(
  config: RunConfig,
  dataset: ImageDataset,
  test: ImageDataset | undefined,
  note: Note,
): Promise<ChoosingSets> {
  const needsLabels = config.select === 'knn';
  if (needsLabels && (dataset.classes === undefined || dataset.source.data === 'emoji'))
    throw new SettingError(
      say`${settingRef('select', 'knn')} needs class folders or labels, which ${dataset.name} has not; ${settingRef('select', 'retrieval')} needs none`,
      { code: 'setting-conflict', value: 'knn' },
    );
  const isOwn = dataset.source.data.startsWith('object:');
  const given = test ?? (isOwn ? undefined : await openOwnTest(config, note).catch(ifNoneHeld));
  if (given && !(needsLabels && given.classes === undefined))
    return { config, dataset, evaluateOn: { train: dataset, test: given } };
  const share = config.holdOut || Number(Math.min(HELD_OUT, ENOUGH / dataset.length).toPrecision(3));
  const parts = await heldOut(dataset, share);
  note(
    `${dataset.name}: no test split: ${parts.test.length} of ${dataset.length} images are not trained on, to choose the best checkpoint by`,
  );
  // Where the rule holds out none no share names these parts, which are found again as they were here.
  const isNamed =
    isOwn || (await openOwnTest({ ...config, holdOut: share }, silent).then(() => true, ifNoneHeld));
  return {
    config: isNamed ? { ...config, holdOut: share } : config,
    dataset: parts.train,
    evaluateOn: parts,
  };
}

/**
 * Images that a program passes: what the run holds out is no folder's, which is opened without it.
 * @param test given by a program too: then nothing else is held out
 */
export async function givenSets(
  { holdOut = 0 }: RunConfig,
  dataset: ImageDataset,
  test: ImageDataset | undefined,
): Promise<Omit<ChoosingSets, 'config'>> {
  if (test || holdOut === 0) return { dataset, evaluateOn: { train: dataset, ...(test && { test }) } };
  const parts = await heldOut(dataset, holdOut);
  return { dataset: parts.train, evaluateOn: parts };
}

const silent = () => undefined;

/** Of few images the rule of a share may hold out none. @throws other errors */
function ifNoneHeld(error: unknown): undefined {
  if (!(error instanceof DataError) || error.setting !== 'holdOut') throw error;
}
