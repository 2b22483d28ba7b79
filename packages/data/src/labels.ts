/** Labels of two sets that are measured against each other: one list of classes, by name. */
import { UserError } from '@moco-ts/core';
import type { ImageDataset } from './dataset.ts';
import { subset } from './subset.ts';
import { some } from './words.ts';

/** A set of which each image has a label. */
export interface LabelledSet {
  readonly dataset: ImageDataset;
  /** `[dataset.length]`: indices of the list of classes; -1 for a class that is not in it, and never right. */
  readonly labels: Int32Array;
}

export interface LabelledSplits {
  /** Those of the training split, then those that only the other one has. */
  readonly classes: readonly string[];
  readonly train: LabelledSet;
  readonly test: LabelledSet;
  /** What the user should know: images without labels, and classes that only one split has. */
  readonly notes: readonly string[];
}

/** @throws UserError for a set without labels, and a label that is no class of its set */
export function labelSplits(train: ImageDataset, test: ImageDataset): LabelledSplits {
  const classes = [...new Set([...namesOf(train), ...namesOf(test)])];
  const notes: string[] = [];
  const [own, asked] = [train, test].map((set) => labelled(set, classes, (note) => notes.push(note)));
  const [inTrain, inTest] = [own!, asked!].map(({ labels }) => new Set(labels));
  const lacking = (mine: Set<number>, others: Set<number>) =>
    classes.filter((_, label) => mine.has(label) && !others.has(label));
  const [noTest, noTrain] = [lacking(inTrain!, inTest!), lacking(inTest!, inTrain!)];
  if (noTest.length > 0) notes.push(`${train.name}: no images to measure on in ${some(noTest)}`);
  if (noTrain.length > 0)
    notes.push(`${test.name}: no images to learn from in ${some(noTrain)}, which counts as never right`);
  return { classes, train: own!, test: asked!, notes };
}

/**
 * The images that have a label, with their labels in a list of classes of others: names decide, not numbers.
 * @param note called if images without a label are left out
 * @throws UserError for a set without labels, and a label that is no class of its set
 */
export function labelled(
  dataset: ImageDataset,
  classes: readonly string[],
  note: (text: string) => void,
): LabelledSet {
  const own = namesOf(dataset);
  const numbers = new Map(classes.map((name, number) => [name.normalize('NFC'), number]));
  const place = own.map((name) => numbers.get(name) ?? -1);
  const rows: number[] = [];
  const labels: number[] = [];
  const without: string[] = [];
  for (let index = 0; index < dataset.length; index++) {
    const label = dataset.label(index);
    if (label === undefined) without.push(dataset.id(index));
    else {
      const number = place[label];
      if (number === undefined)
        throw new UserError(
          `${dataset.name}: ${dataset.id(index)} has label ${label}; give one from 0 to ${own.length - 1}`,
        );
      rows.push(index);
      labels.push(number);
    }
  }
  if (without.length > 0) {
    const count = without.length === 1 ? '1 image has' : `${without.length} images have`;
    note(
      `${dataset.name}: ${count} no label, so ${without.length === 1 ? 'it is' : 'they are'} not used: ${some(without)}`,
    );
  }
  if (rows.length === 0) throw new UserError(`${dataset.name}: none of its images has a label`);
  return {
    dataset: without.length === 0 ? dataset : subset(dataset, rows),
    labels: Int32Array.from(labels),
  };
}

/** In one Unicode form. */
function namesOf({ classes, name, unlabelled }: ImageDataset): readonly string[] {
  if (classes === undefined)
    throw new UserError(`${name} has no labels${unlabelled === undefined ? '' : `: ${unlabelled}`}`);
  return classes.map((one) => one.normalize('NFC'));
}
