/**
 * An index of a file of vectors, beside it as `FILE.usearch`: a navigable graph (HNSW, arXiv 1603.09320) by USearch, which is
 * installed by whoever wants it. `FILE.usearch.json` says what it is of; a file of vectors that is newer, or an index that
 * is not whole, is noticed and indexed anew.
 */
import { rename, stat } from 'node:fs/promises';
import { counted, type Neighbour, nearestNeighbours, UserError, unitRows } from '@moco-ts/core';
import type { Index } from 'usearch';
import { writeAtomic } from '../run/files.ts';
import { duration, percent } from '../run/format.ts';
import { openBackend } from '../run/plugins.ts';
import { readText } from '../run/source.ts';
import type { VectorFile } from './file.ts';

export interface IndexFile {
  /** How often the 10 nearest of a sample were found, in [0, 1], when it was made. */
  readonly recall: number;
  /** @param query [dim] */
  search(query: Float32Array, k: number): Neighbour[];
}

export const indexPath = (path: string) => `${path}.usearch`;

/** What an index must be of to be used. */
interface Description {
  readonly format: 1;
  /** Of the file of vectors. */
  readonly bytes: number;
  readonly modified: number;
  readonly rows: number;
  readonly dim: number;
  /** Of the index. */
  readonly indexBytes: number;
  readonly recall: number;
}

/** The graph's degree, and how many candidates are kept while it is made and searched. */
const settings = { connectivity: 16, expansion_add: 128, expansion_search: 128 };
/** Vectors that recall is measured on. */
const sample = 200;
const sampleNeighbours = 10;
const chunkRows = 4096;

/**
 * Opens the index of a file, or makes it.
 * @param note told what making it takes and how good it is
 * @throws UserError when USearch is not installed
 */
export async function openIndex(
  file: VectorFile,
  options: { readonly backend?: string; readonly threads?: number },
  note: (line: string) => void,
): Promise<IndexFile> {
  const { Index } = await importUsearch();
  const { dim, rows } = file;
  const empty = () =>
    // Strings: its names for them are types alone.
    new Index({ ...settings, dimensions: dim, metric: 'cos', quantization: 'f32', multi: false } as never);
  const path = indexPath(file.path);
  const known = await describe(file);
  if (known !== undefined) {
    const index = empty();
    index.view(path);
    if (index.size() === rows) return searching(index, rows, known.recall);
  }
  const started = performance.now();
  const vectors = unitRows(await file.vectors(), dim);
  const index = empty();
  for (let at = 0; at < rows; at += chunkRows) {
    const count = Math.min(chunkRows, rows - at);
    const keys = BigUint64Array.from({ length: count }, (_, i) => BigInt(at + i));
    // One thread: with more the graph would depend on which comes first.
    index.add(keys, vectors.subarray(at * dim, (at + count) * dim), 1);
  }
  const seconds = (performance.now() - started) / 1000;
  const opened = searching(index, rows, 0);
  const recall = await measure(opened, vectors, file, options);
  await save(index, file, recall);
  note(
    `${path}: ${counted(rows, 'vector')} indexed in ${duration(seconds)}, recall@${sampleNeighbours} ${percent(100 * recall).trim()} against exact search`,
  );
  return { ...opened, recall };
}

function searching(index: Index, rows: number, recall: number): IndexFile {
  return {
    recall,
    search: (query, k) => {
      const { keys, distances } = index.search(query, Math.min(k, rows), 1) as {
        keys: BigUint64Array;
        distances: Float32Array;
      };
      return Array.from(keys, (key, i) => ({ row: Number(key), similarity: 1 - distances[i]! }));
    },
  };
}

/** The share of the exact nearest that the index finds, over evenly spaced vectors. */
async function measure(
  index: IndexFile,
  vectors: Float32Array,
  { dim, rows }: VectorFile,
  { backend: name = 'ort', threads }: { readonly backend?: string; readonly threads?: number },
): Promise<number> {
  const count = Math.min(sample, rows);
  const queries = new Float32Array(count * dim);
  for (let i = 0; i < count; i++) {
    const from = Math.floor((i * rows) / count) * dim;
    queries.set(vectors.subarray(from, from + dim), i * dim);
  }
  const backend = await openBackend(name, threads === undefined ? {} : { threads });
  const k = Math.min(sampleNeighbours, rows);
  const exact = await nearestNeighbours(backend, { features: queries, dim }, { features: vectors, dim }, k);
  await backend.dispose();
  let right = 0;
  exact.forEach((nearest, i) => {
    const found = index.search(queries.subarray(i * dim, (i + 1) * dim), k);
    // As near as the last of the exact ones is as right: of duplicates, any will do.
    const least = nearest.at(-1)!.similarity - 1e-6;
    right += Math.min(k, found.filter(({ similarity }) => similarity >= least).length);
  });
  return right / (count * k);
}

async function save(index: Index, file: VectorFile, recall: number): Promise<void> {
  const path = indexPath(file.path);
  const temporary = `${path}.partial`;
  try {
    index.save(temporary);
  } catch (error) {
    throw new UserError(`${path} could not be written: ${(error as Error).message}`);
  }
  await rename(temporary, path);
  const { size: bytes, mtimeMs: modified } = await stat(file.path);
  const { size: indexBytes } = await stat(path);
  const { rows, dim } = file;
  const description: Description = { format: 1, bytes, modified, rows, dim, indexBytes, recall };
  await writeAtomic(`${path}.json`, `${JSON.stringify(description)}\n`);
}

/** What stands beside an index that is whole and of this very file. */
async function describe({ path, rows, dim }: VectorFile): Promise<Description | undefined> {
  try {
    const known = JSON.parse(await readText(`${indexPath(path)}.json`)) as Description;
    const [vectors, index] = [await stat(path), await stat(indexPath(path))];
    const same =
      known.format === 1 &&
      known.bytes === vectors.size &&
      known.modified === vectors.mtimeMs &&
      known.indexBytes === index.size &&
      known.rows === rows &&
      known.dim === dim;
    return same ? known : undefined;
  } catch {
    return undefined;
  }
}

/** As this package sees it: what stands beside it, or above. The working folder may hold anybody's. */
async function importUsearch(): Promise<typeof import('usearch')> {
  try {
    const module = (await import('usearch')) as { default?: unknown };
    return (module.default ?? module) as typeof import('usearch');
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    throw new UserError(
      code === 'ERR_MODULE_NOT_FOUND' && message.includes("'usearch'")
        ? '--index needs a package where moco is installed: npm install usearch (or leave --index out: exact search needs none)'
        : `the package usearch could not be loaded: ${message.split('\n')[0]}`,
    );
  }
}
