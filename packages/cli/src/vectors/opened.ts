/** What an opened file of vectors gives, and the checks that both formats share. */
import { DataError, firstNotFinite } from '@moco-ts/core';
import { checkSettings, type VectorInfo } from '@moco-ts/run';

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
  const row = firstNotFinite(vectors, dim);
  if (row !== undefined) throw new DataError(`${source}: vector ${row} holds a value that is not finite`);
}
