/** The labels that a classifier is trained and evaluated with: those of the data, by the names of its classes. */
import { DataError, say, settingRef, UserError } from '@moco-ts/core';
import {
  type ImageDataset,
  type LabelledSet,
  type LabelledSplits,
  labelled,
  labelSplits,
  some,
} from '@moco-ts/data';
import type { ClassifierFile } from './classifier-file.ts';
import { type DataSettings, type Note, openDataSplits, openOwnTest } from './dataset.ts';

export interface Sets {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
}

/** Both splits of a labelled set. @throws DataError for a set without labels */
export async function openLabelled(settings: DataSettings, note: Note): Promise<Sets> {
  const { train, test } = await openDataSplits(settings, note);
  const { classes, name, unlabelled } = train;
  if (classes === undefined || classes.length < 2 || test === undefined)
    throw new DataError(
      `${name} has no labels${unlabelled === undefined ? '' : ` (${unlabelled})`}: a classifier needs a folder of class folders, or a labelled set`,
    );
  return { train, test };
}

/** Labels by the classes of the resumed classifier, otherwise by those of the data. */
export function labelsFor(sets: Sets, resume: ClassifierFile | undefined, note: Note): LabelledSplits {
  const splits = labelSplits(sets.train, sets.test);
  for (const text of splits.notes) note(text);
  if (resume === undefined) return splits;
  const { classes } = resume.info;
  for (const set of [sets.train, sets.test]) expectClasses(set, classes, resume.path);
  const known = new Set(splits.classes);
  const gone = classes.filter((name) => !known.has(name.normalize('NFC')));
  if (gone.length > 0)
    throw new UserError(
      say`${resume.path} was trained on ${gone.length === 1 ? 'a class' : 'classes'} that ${sets.train.name} no longer has: ${some(gone)}; train anew in another ${settingRef('out')}`,
      { code: 'checkpoint-mismatch' },
    );
  const silent = () => undefined;
  const [train, test] = [labelled(sets.train, classes, silent), labelled(sets.test, classes, silent)];
  return { ...splits, classes, train, test };
}

/**
 * The test split, labelled by the classes of a trained classifier.
 * @param path the classifier's, for messages
 * @throws DataError for images of other classes
 */
export async function openLabelledTest(
  settings: DataSettings,
  classes: readonly string[],
  path: string,
  note: Note,
): Promise<LabelledSet> {
  const own = await openOwnTest(settings, note);
  const test = own?.classes ? own : (await openLabelled(settings, note)).test;
  expectClasses(test, classes, path);
  const set = labelled(test, classes, note);
  const present = new Set(set.labels);
  const lacking = classes.filter((_, label) => !present.has(label));
  if (lacking.length > 0) note(`${test.name}: no test images of ${some(lacking)}`);
  return set;
}

/** @throws DataError when a set has images of a class that a classifier does not know: names decide, not their order */
function expectClasses(set: ImageDataset, classes: readonly string[], path: string): void {
  const known = new Set(classes.map((name) => name.normalize('NFC')));
  const present = new Set(Array.from({ length: set.length }, (_, index) => set.label(index)));
  const strange = (set.classes ?? []).filter(
    (name, label) => present.has(label) && !known.has(name.normalize('NFC')),
  );
  if (strange.length > 0)
    throw new DataError(
      `${set.name} has ${strange.length === 1 ? 'a class' : 'classes'} that ${path} was not trained on: ${some(strange)}`,
    );
}
