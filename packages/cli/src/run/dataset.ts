import { type Designer, type ImageDataset, openDataset, type Split } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';

/** Opens the data of a run. Throws DataError when there are none. */
export function openData(
  { data, designers, holdOut }: Pick<RunConfig, 'data' | 'designers' | 'holdOut'>,
  split: Split,
): Promise<ImageDataset> {
  return openDataset(data, {
    split,
    ...(designers && { designers: designers as readonly Designer[] }),
    ...(holdOut !== undefined && { holdOut }),
  });
}
