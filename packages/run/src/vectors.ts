/**
 * The form of a file of vectors in Parquet: a column `id` of texts, a column `vector` of lists of floats; of tokens instead a column
 * `tokens`, whose lists have those of an image one after the other.
 */
import type { DatasetSpec } from '@moco-ts/data/portable';

/** Where vectors come from; plain JSON. */
export interface VectorInfo {
  /** The version of this program. */
  readonly moco: string;
  /** The path of the model, as it was given. */
  readonly model: string;
  /** A checksum of the model's weights. */
  readonly encoder: string;
  readonly data: DatasetSpec;
  /** Whether the vectors have length 1. */
  readonly unit: boolean;
  /** Of a file of tokens: how many an image has, and the length of each. */
  readonly tokens?: readonly [count: number, dim: number];
}

/** Values in a group of rows, at most, where a row has fewer. */
const groupValues = 2 ** 24;

/** Rows of so many values that are written, and so read, at a time. */
export const parquetGroupRows = (values: number): number =>
  Math.min(2048, Math.max(1, Math.floor(groupValues / values)));

const listColumn = ({ tokens }: Pick<VectorInfo, 'tokens'>) => (tokens ? 'tokens' : 'vector');

/** What `ParquetWriter` and `parquetWriteBuffer` of hyparquet-writer take besides rows. */
export function parquetOptions(info: VectorInfo) {
  return {
    schema: [
      { name: 'root', num_children: 2 } as const,
      { name: 'id', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' } as const,
      {
        name: listColumn(info),
        repetition_type: 'REQUIRED',
        num_children: 1,
        converted_type: 'LIST',
        logical_type: { type: 'LIST' },
      } as const,
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 } as const,
      { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' } as const,
    ],
    // Floats hardly shrink, and DuckDB, pyarrow and the rest read it all the same.
    codec: 'UNCOMPRESSED' as const,
    statistics: false,
    kvMetadata: [{ key: 'moco', value: JSON.stringify(info) }],
    createdBy: `moco ${info.moco}`,
  };
}

/** Rows as the writer takes them. @param vectors [ids.length, dim] */
export function parquetColumns(
  ids: readonly string[],
  vectors: Float32Array,
  dim: number,
  info: Pick<VectorInfo, 'tokens'> = {},
) {
  const lists = ids.map((_, i) => Array.from(vectors.subarray(i * dim, (i + 1) * dim)));
  return {
    columnData: [
      { name: 'id', data: [...ids], encoding: 'PLAIN' as const },
      { name: listColumn(info), data: lists, encoding: 'PLAIN' as const },
    ],
    rowGroupSize: parquetGroupRows(dim),
  };
}
