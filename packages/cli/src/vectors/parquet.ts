/** Writes vectors as Apache Parquet: a text column `id` and a column `vector` (or `tokens`) of float lists. */
import { parquetColumns, parquetGroupRows, parquetOptions, type VectorInfo } from '@moco-ts/run';
import { fileWriter, ParquetWriter } from 'hyparquet-writer';

/** Consecutive rows of a vector file. */
export interface VectorRows {
  readonly ids: readonly string[];
  /** [ids.length, dim] */
  readonly vectors: Float32Array;
}

/**
 * Writes a file piece by piece. The same rows give the same bytes, however they are split into pieces.
 * @param dim values of a row
 */
export async function writeParquet(
  path: string,
  rows: AsyncIterable<VectorRows>,
  dim: number,
  info: VectorInfo,
): Promise<void> {
  const writer = new ParquetWriter({ writer: fileWriter(path), ...parquetOptions(info) });
  for await (const { ids, vectors } of regrouped(rows, dim))
    writer.write(parquetColumns(ids, vectors, dim, info));
  writer.finish();
}

async function* regrouped(rows: AsyncIterable<VectorRows>, dim: number): AsyncGenerator<VectorRows> {
  const groupRows = parquetGroupRows(dim);
  let ids: string[] = [];
  let vectors = new Float32Array(groupRows * dim);
  for await (const part of rows) {
    for (let i = 0; i < part.ids.length; i++) {
      vectors.set(part.vectors.subarray(i * dim, (i + 1) * dim), ids.length * dim);
      ids.push(part.ids[i]!);
      if (ids.length < groupRows) continue;
      yield { ids, vectors };
      [ids, vectors] = [[], new Float32Array(groupRows * dim)];
    }
  }
  if (ids.length > 0) yield { ids, vectors: vectors.subarray(0, ids.length * dim) };
}
