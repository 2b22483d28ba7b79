import { DataError } from '@moco-ts/core';
import { type Designer, type ImageDataset, openDataset, type Split } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';

/** Opens the data of a run. @throws DataError when there are none, or only another program has them */
export async function openData(
  { data, designers, holdOut }: Pick<RunConfig, 'data' | 'designers' | 'holdOut'>,
  split: Split,
): Promise<ImageDataset> {
  if (data.startsWith('object:'))
    throw new DataError(
      `${data.slice(7)} was a data set object of a program, which alone can open it; name the data`,
    );
  return openDataset(data, {
    split,
    ...(designers && { designers: designers as readonly Designer[] }),
    ...(holdOut !== undefined && { holdOut }),
  });
}
