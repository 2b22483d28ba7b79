/** Writes vectors as Apache Parquet: a column `id` of texts, a column `vector` of lists of floats. */
import type { SchemaElement } from 'hyparquet';
import { fileWriter, ParquetWriter } from 'hyparquet-writer';
import type { VectorInfo } from './file.ts';

/** Rows that are written, and so read, at a time. */
const groupRows = 2048;

const schema: SchemaElement[] = [
  { name: 'root', num_children: 2 },
  { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  {
    name: 'vector',
    repetition_type: 'REQUIRED',
    num_children: 1,
    converted_type: 'LIST',
    logical_type: { type: 'LIST' },
  },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' },
];

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
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    schema,
    // Floats hardly shrink, and DuckDB, pyarrow and the rest read it all the same.
    codec: 'UNCOMPRESSED',
    statistics: false,
    kvMetadata: [{ key: 'moco', value: JSON.stringify(info) }],
    createdBy: `moco ${info.moco}`,
  });
  for await (const { ids, vectors } of regrouped(rows, dim)) {
    const lists = ids.map((_, i) => Array.from(vectors.subarray(i * dim, (i + 1) * dim)));
    writer.write({
      columnData: [
        { name: 'id', data: [...ids], encoding: 'PLAIN' },
        { name: 'vector', data: lists, encoding: 'PLAIN' },
      ],
      rowGroupSize: groupRows,
    });
  }
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
