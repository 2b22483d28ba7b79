/** Writes vectors as Apache Parquet: a column `id` of texts, a column `vector` of lists of floats. */
import { parquetGroupRows as groupRows, parquetColumns, parquetOptions, type VectorInfo } from '@moco-ts/run';
import { fileWriter, ParquetWriter } from 'hyparquet-writer';

/** Some rows of a file to write. */
export interface VectorRows {
  readonly ids: readonly string[];
  /** [ids.length, dim] */
  readonly vectors: Float32Array;
}

/** Writes a file in pieces: the same rows give the same bytes, however they come. */
export async function writeParquet(
  path: string,
  rows: AsyncIterable<VectorRows>,
  dim: number,
  info: VectorInfo,
): Promise<void> {
  const writer = new ParquetWriter({ writer: fileWriter(path), ...parquetOptions(info) });
  for await (const { ids, vectors } of regrouped(rows, dim)) writer.write(parquetColumns(ids, vectors, dim));
  writer.finish();
}

async function* regrouped(rows: AsyncIterable<VectorRows>, dim: number): AsyncGenerator<VectorRows> {
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
