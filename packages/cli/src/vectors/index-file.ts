/**
 * An index of a file of vectors, beside it as `FILE.usearch`: a navigable graph (HNSW, arXiv 1603.09320) by USearch, which is
 * an optional package. `FILE.usearch.json` describes it; if the vector file is newer or the index is damaged, it is rebuilt.
 */
import type { Stats } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { counted, type Neighbour, nearestNeighbours, UserError, unitRows } from '@moco-ts/core';
import {
  entryIfThere,
  openBackend,
  textIfThere,
  withOpened,
  withOutput,
  withSource,
  writeAtomic,
} from '@moco-ts/node';
import { hexadecimal } from '@moco-ts/run';
import type { Index } from 'usearch';
import { duration, percent } from '../format.ts';
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
  readonly format: 2;
  /** Of the file of vectors. */
  readonly bytes: number;
  readonly modified: number;
  readonly rows: number;
  readonly dim: number;
  /** Of the index. */
  readonly indexBytes: number;
  /** Of all its bytes: USearch has no checksum of its own, and a damaged graph gives other answers, or none at all. */
  readonly indexCrc32: string;
  readonly recall: number;
}

/** As it is written: with the checksum of the rest. */
interface Sealed extends Description {
  readonly crc32: string;
}

/** The graph's degree, and how many candidates are kept while it is made and searched. */
const settings = { connectivity: 16, expansion_add: 128, expansion_search: 128 };
/** Vectors that recall is measured on. */
const sample = 200;
const sampleNeighbours = 10;
const chunkRows = 4096;

/**
 * Opens the index of a file, or makes it.
 * @param note called with the cost and the recall of a new index
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
  const known = await describe(file, note);
  if (known !== undefined) {
    const index = empty();
    index.view(path);
    return searching(index, rows, known.recall);
  }
  return withOutput(path, note, () => makeIndex(file, empty(), options, note));
}

async function makeIndex(
  file: VectorFile,
  index: Index,
  options: { readonly backend?: string; readonly threads?: number },
  note: (line: string) => void,
): Promise<IndexFile> {
  const { dim, rows } = file;
  const path = indexPath(file.path);
  const started = performance.now();
  // Before they are read: what replaces them meanwhile is newer than the index.
  const of = await stat(file.path);
  const vectors = unitRows(await file.vectors(), dim);
  for (let at = 0; at < rows; at += chunkRows) {
    const count = Math.min(chunkRows, rows - at);
    const keys = BigUint64Array.from({ length: count }, (_, i) => BigInt(at + i));
    // One thread: with more the graph would depend on which comes first.
    index.add(keys, vectors.subarray(at * dim, (at + count) * dim), 1);
  }
  const seconds = (performance.now() - started) / 1000;
  const opened = searching(index, rows, 0);
  const recall = await measure(opened, vectors, file, options);
  await save(index, file, of, recall);
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
  const k = Math.min(sampleNeighbours, rows);
  const exact = await withOpened(async (keep) => {
    const backend = keep(await openBackend(name, threads === undefined ? {} : { threads }));
    return nearestNeighbours(backend, { features: queries, dim }, { features: vectors, dim }, k);
  });
  let right = 0;
  exact.forEach((nearest, i) => {
    const approximate = index.search(queries.subarray(i * dim, (i + 1) * dim), k);
    // As near as the last of the exact ones is as right: of duplicates, any will do.
    const least = nearest.at(-1)!.similarity - 1e-6;
    right += Math.min(k, approximate.filter(({ similarity }) => similarity >= least).length);
  });
  return right / (count * k);
}

async function save(
  index: Index,
  file: VectorFile,
  { size: bytes, mtimeMs: modified }: Stats,
  recall: number,
): Promise<void> {
  const path = indexPath(file.path);
  const temporary = `${path}.partial`;
  try {
    index.save(temporary);
  } catch (error) {
    throw new UserError(`${path} could not be written: ${(error as Error).message}`, {
      code: 'file-unwritable',
    });
  }
  // Of what was written, not of what is there by then.
  const written = { indexBytes: (await stat(temporary)).size, indexCrc32: await checksumOf(temporary) };
  await rename(temporary, path);
  const { rows, dim } = file;
  const description: Description = { format: 2, bytes, modified, rows, dim, ...written, recall };
  await writeAtomic(
    `${path}.json`,
    `${JSON.stringify({ ...description, crc32: sumOf(description) } satisfies Sealed)}\n`,
  );
}

const sumOf = (description: Description) => hexadecimal(crc32(JSON.stringify(description)));

const chunkBytes = 2 ** 24;

/** A part at a time: an index may be larger than the memory. */
function checksumOf(path: string): Promise<string> {
  return withSource(path, async ({ size, read }) => {
    let sum = 0;
    for (let at = 0; at < size; at += chunkBytes)
      sum = crc32(await read(at, Math.min(chunkBytes, size - at)), sum);
    return hexadecimal(sum);
  });
}

/**
 * The description beside an index, if the index is intact and belongs to this file.
 * @param note called if the index is damaged
 * @throws UserError for an index without a checksum
 */
async function describe(
  { path, rows, dim }: VectorFile,
  note: (line: string) => void,
): Promise<Description | undefined> {
  const index = indexPath(path);
  const text = await textIfThere(`${index}.json`);
  const [vectors, stored] = [await stat(path), await entryIfThere(index)];
  if (text === undefined || stored === undefined) return undefined;
  const anew = `${index} is damaged, and made anew`;
  const known = parsed(text);
  if (known?.format === 1)
    throw new UserError(
      `${index} is of an earlier version, without a checksum: remove it, and the same command makes it anew`,
      { code: 'data-invalid' },
    );
  const { crc32: sum, ...rest } = known ?? {};
  if (known?.format !== 2 || sum !== sumOf(rest as Description)) {
    note(anew);
    return undefined;
  }
  const of = known.bytes === vectors.size && known.modified === vectors.mtimeMs;
  if (!of || known.rows !== rows || known.dim !== dim) return undefined;
  if (known.indexBytes === stored.size && known.indexCrc32 === (await checksumOf(index)))
    return rest as Description;
  note(anew);
  return undefined;
}

function parsed(text: string): (Omit<Partial<Sealed>, 'format'> & { readonly format?: number }) | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Resolved from this package: beside it or above. The working folder may hold somebody else's code. */
async function importUsearch(): Promise<typeof import('usearch')> {
  try {
    const module = (await import('usearch')) as { default?: unknown };
    return (module.default ?? module) as typeof import('usearch');
  } catch (error) {
    // Which package is missing, this one or one that it needs, Node tells by the text alone.
    const { code, message } = error as { readonly code?: unknown; readonly message: string };
    throw new UserError(
      code === 'ERR_MODULE_NOT_FOUND' && message.includes("'usearch'")
        ? '--index needs a package where moco is installed: npm install usearch (or leave --index out: exact search needs none)'
        : `the package usearch could not be loaded: ${message.split('\n')[0]}`,
      { code: 'package-missing', setting: 'index', cause: error },
    );
  }
}
