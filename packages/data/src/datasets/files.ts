import type { DatasetSpec, ImageDataset } from '../dataset.ts';
import { decodeFile } from '../decode.ts';
import { pathOf } from './names.ts';

export interface FileEntry {
  /** Path of the file, relative to the root, as {@link pathOf} takes it. */
  readonly path: string;
  readonly id: string;
  readonly label?: number;
}

/** A data set of one file per image. */
export function fileDataset(
  name: string,
  root: string,
  entries: readonly FileEntry[],
  source: DatasetSpec,
  classes?: readonly string[],
): ImageDataset {
  const paths = entries.map((entry) => entry.path);
  return {
    name,
    length: entries.length,
    ...(classes === undefined ? {} : { classes }),
    label: (index) => entries[index]!.label,
    id: (index) => entries[index]!.id,
    decode: (index, options) => decodeFile(pathOf(root, paths[index]!), options),
    source,
    share: () => ({ kind: 'files', root, paths }),
  };
}
