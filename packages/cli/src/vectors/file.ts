/** Files of vectors with ids: `.parquet`, or `.npy` with the ids in a `.ids.json` beside it. */
import { UserError } from '@moco-ts/core';
import { openNpy } from './npy-file.ts';
import type { VectorFile } from './opened.ts';
import { openParquet } from './parquet-file.ts';

export type { VectorInfo } from '@moco-ts/run';
export type { VectorFile } from './opened.ts';

export const formats = ['.parquet', '.npy'] as const;
export type VectorFormat = (typeof formats)[number];

/** By the end of its name; undefined for anything else. */
export function formatOf(path: string): VectorFormat | undefined {
  return formats.find((format) => path.toLowerCase().endsWith(format));
}

/**
 * Opens a file of vectors and reads what says how many there are.
 * @throws UserError when it is missing, damaged or cut off, or lacks its ids
 */
export async function openVectors(path: string): Promise<VectorFile> {
  const format = formatOf(path);
  if (format === undefined)
    throw new UserError(`${path}: the name of a file of vectors ends in ${formats.join(' or ')}`, {
      code: 'data-invalid',
    });
  return format === '.npy' ? openNpy(path) : openParquet(path);
}
