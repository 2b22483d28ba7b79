/** Files of vectors with ids: `.parquet`, or `.npy` with the ids in a `.ids.json` beside it. */
import { DataError, UserError } from '@moco-ts/core';
import { checkSettings, type VectorInfo } from '@moco-ts/run';
import { openNpy } from './npy-file.ts';
import { openParquet } from './parquet-file.ts';

export type { VectorInfo } from '@moco-ts/run';

export interface VectorFile {
  readonly path: string;
  readonly rows: number;
  readonly dim: number;
  /** Missing in files of other programs. */
  readonly info?: VectorInfo;
  ids(): Promise<readonly string[]>;
  /** [rows, dim]. @throws DataError for damage, and for values that are not finite */
  vectors(): Promise<Float32Array>;
}

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
    throw new UserError(`${path}: the name of a file of vectors ends in ${formats.join(' or ')}`);
  return format === '.npy' ? openNpy(path) : openParquet(path);
}

/** @throws DataError when the JSON is not what this program writes */
export function parseInfo(value: unknown, source: string): VectorInfo {
  const info = value as Partial<VectorInfo> | null;
  const texts = [info?.moco, info?.model, info?.encoder, info?.data?.data, info?.data?.split];
  if (typeof info !== 'object' || texts.some((text) => typeof text !== 'string'))
    throw new DataError(`${source}: what it says of its model is damaged`);
  checkSettings(info!.data!, source);
  if (typeof info!.unit !== 'boolean') throw new DataError(`${source}: what it says of its model is damaged`);
  return info as VectorInfo;
}

/** @throws DataError naming the first vector that has a value which is not finite */
export function checkVectors(vectors: Float32Array, dim: number, source: string): void {
  const at = vectors.findIndex((value) => !Number.isFinite(value));
  if (at >= 0)
    throw new DataError(`${source}: vector ${Math.floor(at / dim)} holds a value that is not finite`);
}
