/** Reads vectors from Apache Parquet files of any program: a text column `id` and a column `vector` of float lists. */
import { DataError, printable, UserError } from '@moco-ts/core';
import type { ByteSource } from '@moco-ts/exchange';
import { withSource } from '@moco-ts/node';
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead } from 'hyparquet';
import { checkVectors, parseInfo, type VectorFile } from './opened.ts';
import { checkPages, columnKind } from './pages.ts';
import { checkFooter } from './thrift.ts';

/** Values per byte of a file: a file that claims more is damaged, or made to exhaust memory. */
const maxValues = 256;

/** @throws UserError */
export function openParquet(path: string): Promise<VectorFile> {
  return reading(path, async (source) => {
    const metadata = await metadataOf(source);
    const rows = Number(metadata.num_rows);
    const dim = await dimOf(source, metadata);
    const own = metadata.key_value_metadata?.find(({ key }) => key === 'moco')?.value;
    const info = own === undefined ? undefined : parseInfo(JSON.parse(own), path);
    const ids = () =>
      reading(path, async (source) => {
        const all: string[] = [];
        await eachPart(source, metadata, 'id', (texts) => {
          for (const text of texts) all.push(textOf(text));
        });
        return complete(all, rows);
      });
    const vectors = () =>
      reading(path, async (source) => {
        const all = new Float32Array(rows * dim);
        let row = 0;
        await eachPart(source, metadata, 'vector', (lists) => {
          if (row + lists.length > rows) throw new Error('it holds more rows than it says');
          for (const list of lists) all.set(listOf(list, dim), row++ * dim);
        });
        if (row < rows) throw new Error('it holds fewer rows than it says');
        checkVectors(all, dim, path);
        return all;
      });
    return { path, rows, dim, ...(info && { info }), ids, vectors };
  });
}

/** What the library throws at damage is an error of the file's. */
function reading<T>(path: string, work: (source: ByteSource) => Promise<T>): Promise<T> {
  return withSource(path, async (source) => {
    try {
      return await work(source);
    } catch (error) {
      if (error instanceof UserError) throw error;
      const reason = printable((error as Error).message ?? String(error), 200);
      throw new DataError(`${path} is no readable Parquet file of vectors: ${reason}`);
    }
  });
}

/** @param check throws at bytes that the library must not see */
function asyncBuffer({ size, read }: ByteSource, check: (bytes: Uint8Array) => void = () => {}): AsyncBuffer {
  const slice = async (start: number, end: number) => {
    if (!(start >= 0 && start <= end && end <= size)) throw new Error('it is cut off or damaged');
    const bytes = await read(start, end - start);
    if (bytes.length < end - start) throw new Error('it became shorter while it was read');
    check(bytes);
    return bytes.slice().buffer;
  };
  return {
    byteLength: size,
    slice: (start, end = size) => {
      const bytes = slice(start, end);
      // The library asks ahead, and may throw for another reason before it waits for this.
      bytes.catch(() => undefined);
      return bytes;
    },
  };
}

async function metadataOf(source: ByteSource): Promise<FileMetaData> {
  const file = asyncBuffer(source);
  const end = await source.read(Math.max(0, source.size - 8), Math.min(8, source.size));
  const footer = end.length < 8 ? 0 : new DataView(end.buffer, end.byteOffset).getUint32(0, true);
  const tail = Math.min(source.size, footer + 8);
  checkFooter(await source.read(source.size - tail, tail));
  const metadata = await parquetMetadataAsync(file);
  const names = metadata.schema.map(({ name }) => name);
  if (names.includes('tokens') && !names.includes('vector'))
    throw new Error('it has tokens, not one vector for each image (moco embed without --tokens makes those)');
  for (const name of ['id', 'vector'])
    if (!names.includes(name))
      throw new Error(`it has no column "${name}" (id: texts, vector: lists of floats)`);
  let rows = 0;
  for (const group of metadata.row_groups) {
    rows += Number(group.num_rows);
    for (const name of ['id', 'vector'])
      if (group.columns.filter(({ meta_data: column }) => column?.path_in_schema[0] === name).length !== 1)
        throw new Error(`its column "${name}" is none of plain values or lists`);
    for (const { meta_data: column } of group.columns) {
      const values = Number(column?.num_values);
      if (!(values >= 0 && values <= maxValues * file.byteLength))
        throw new Error(`a column says that it has ${values} values, too many for a file of its size`);
    }
    if (!(Number(group.num_rows) >= 0 && Number(group.num_rows) <= maxValues * file.byteLength))
      throw new Error('a group says that it has more rows than a file of its size can hold');
  }
  if (rows !== Number(metadata.num_rows))
    throw new Error('its groups have other numbers of rows than it says');
  return metadata;
}

/** The values of a vector, by the first; 0 where there is none. */
async function dimOf(source: ByteSource, metadata: FileMetaData): Promise<number> {
  if (Number(metadata.num_rows) === 0) return 0;
  let dim = 0;
  const firstGroup = { ...metadata, row_groups: metadata.row_groups.slice(0, 1) };
  await eachPart(source, firstGroup, 'vector', (lists) => {
    if (dim === 0) dim = listOf(lists[0]).length;
  });
  if (Number(metadata.num_rows) * dim > maxValues * source.size)
    throw new Error('it says that it has more vectors than a file of its size can hold');
  return dim;
}

/** The values of one column, in order, a group of rows at a time. */
async function eachPart(
  source: ByteSource,
  metadata: FileMetaData,
  name: 'id' | 'vector',
  take: (values: readonly unknown[]) => void,
): Promise<void> {
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const column = group.columns.find(({ meta_data: column }) => column?.path_in_schema[0] === name)!
      .meta_data!;
    const kind = columnKind(metadata, column.path_in_schema, column.codec);
    const file = asyncBuffer(source, (bytes) => checkPages(bytes, maxValues * source.size, kind));
    // What a callback throws is lost: they only collect.
    const parts: (readonly unknown[])[] = [];
    await parquetRead({
      file,
      metadata,
      columns: [name],
      rowStart,
      rowEnd,
      onChunk: ({ columnName, columnData }) => {
        if (columnName === name) parts.push(columnData as unknown as readonly unknown[]);
      },
    });
    for (const part of parts) take(part);
    rowStart = rowEnd;
  }
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new Error('its ids are no texts');
  return value;
}

/** @param dim what its length must be */
function listOf(value: unknown, dim?: number): ArrayLike<number> {
  const list = value as ArrayLike<number>;
  if (!(Array.isArray(value) || value instanceof Float32Array || value instanceof Float64Array))
    throw new Error('its vectors are no lists of floats');
  if (list.length === 0 || !Array.prototype.every.call(list, (x) => typeof x === 'number'))
    throw new Error('its vectors are no lists of floats');
  if (dim !== undefined && list.length !== dim)
    throw new Error(`it has vectors of ${dim} and of ${list.length} values`);
  return list;
}

function complete<T>(all: readonly T[], rows: number): readonly T[] {
  if (all.length !== rows) throw new Error(`it has ${all.length} ids for ${rows} rows`);
  return all;
}
