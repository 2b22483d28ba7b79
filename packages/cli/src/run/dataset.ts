import { DataError } from '@moco-ts/core';
import { type Designer, type ImageDataset, openDataset, type Split } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';

/**
 * Opens the data of a run.
 * @param warn is told what a user should know of it
 * @throws DataError when there are none, or only another program has them
 */
export async function openData(
  { data, designers, holdOut }: Pick<RunConfig, 'data' | 'designers' | 'holdOut'>,
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
  for (const note of dataset.notes ?? []) warn?.(note);
  return dataset;
}

/** A `warn` that says each thing once: two splits of one folder have the same to tell. */
export function once(warn: (text: string) => void): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) warn(text);
    told.add(text);
  };
}
