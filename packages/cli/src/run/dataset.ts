import { DataError } from '@moco-ts/core';
import { type Designer, type ImageDataset, openDataset, type Split, surveyOf } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';

/**
 * Opens the data of a run.
 * @param warn is told what a user should know of it
 * @throws DataError when there are none, or only another program has them
 */
export async function openData(
  { data, designers, holdOut, isolate }: Pick<RunConfig, 'data' | 'designers' | 'holdOut' | 'isolate'>,
  split: Split,
  warn?: (text: string) => void,
): Promise<ImageDataset> {
  if (data.startsWith('object:'))
    throw new DataError(
      `${data.slice(7)} was a data set object of a program, which alone can open it; name the data`,
    );
  const dataset = await openDataset(data, {
    split,
    ...(designers && { designers: designers as readonly Designer[] }),
    ...(holdOut !== undefined && { holdOut }),
  });
  // With --isolate nothing is decoded in this process, which a decoder's defect would end. The other split has the same to tell.
  await tellOf(dataset, warn, isolate !== true && split === 'train');
  return dataset;
}

/** Tells what a user should know of a set: of how it was read, and of the values of its images. */
async function tellOf(
  dataset: ImageDataset,
  warn: ((text: string) => void) | undefined,
  look: boolean,
): Promise<void> {
  if (warn === undefined) return;
  for (const note of dataset.notes ?? []) warn(note);
  if (look) for (const note of (await surveyOf(dataset)).notes) warn(note);
}

/** A `warn` that says each thing once: two splits of one folder have the same to tell. */
export function once(warn: (text: string) => void): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) warn(text);
    told.add(text);
  };
}
