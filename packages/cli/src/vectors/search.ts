/** The nearest images of a set to some others. */
import { stat } from 'node:fs/promises';
import { DataError, type Neighbour, nearestNeighbours, UserError, type Wording } from '@moco-ts/core';
import { openBackend } from '@moco-ts/node';
import { type Io, remarkTo, warnTo } from '../io.ts';
import { type Embedder, openEmbedder } from './embedder.ts';
import { formatOf, openVectors, type VectorFile, type VectorInfo } from './file.ts';
import { type IndexFile, openIndex } from './index-file.ts';
import { filesAsDataset, openSet, type SetOptions, type VectorSet } from './set.ts';

export interface SearchOptions extends SetOptions {
  readonly k: number;
  /** Searches an index, which is made where there is none. */
  readonly index: boolean;
}

export interface Found {
  readonly query: string;
  readonly neighbours: readonly { readonly id: string; readonly similarity: number }[];
}

/** Searches a set; of an indexed one the vectors need not be read. */
interface Searcher {
  readonly name: string;
  readonly ids: readonly string[];
  readonly dim: number;
  readonly info?: VectorInfo;
  /** The vectors of some of its images. */
  rows(numbers: readonly number[]): Promise<Float32Array>;
  /** @param queries [M, dim] @param own numbers of queries that are of the set: they do not find themselves */
  search(queries: Float32Array, k: number, own: readonly (number | undefined)[]): Promise<Neighbour[][]>;
}

/**
 * @param queries files of images, or ids of the set
 * @throws UserError for a query that is neither, and for an encoder that is not the set's
 */
export async function search(
  source: string,
  queries: readonly string[],
  options: SearchOptions,
  io: Io,
): Promise<Found[]> {
  const set = await searcherOf(source, options, io);
  const numbers = new Map(set.ids.map((id, i) => [id, i]));
  const own: (number | undefined)[] = [];
  for (const query of queries) {
    const isFile = (await stat(query).catch(() => undefined))?.isFile() ?? false;
    const number = isFile ? undefined : numbers.get(query);
    if (!isFile && number === undefined)
      throw new UserError(`${query} is no file, and no image of ${set.name} has that id`, {
        code: 'file-missing',
      });
    own.push(number);
  }
  const vectors = new Float32Array(queries.length * set.dim);
  const place = (number: number, row: Float32Array) => vectors.set(row, number * set.dim);
  const asked = own.flatMap((number, i) => (number === undefined ? [] : [{ number, i }]));
  const known = await set.rows(asked.map(({ number }) => number));
  asked.forEach(({ i }, n) => {
    place(i, known.subarray(n * set.dim, (n + 1) * set.dim));
  });
  const files = queries.flatMap((path, i) => (own[i] === undefined ? [{ path, i }] : []));
  if (files.length > 0) {
    const embedded = await embedFiles(
      set,
      files.map(({ path }) => path),
      options,
      io,
    );
    files.forEach(({ i }, n) => {
      place(i, embedded.subarray(n * set.dim, (n + 1) * set.dim));
    });
  }
  const nearest = await set.search(vectors, options.k, own);
  return queries.map((query, i) => ({
    query,
    neighbours: nearest[i]!.map(({ row, similarity }) => ({ id: set.ids[row]!, similarity })),
  }));
}

async function searcherOf(source: string, options: SearchOptions, io: Io): Promise<Searcher> {
  if (!options.index) return exact(await openSet(source, options, io), options);
  if (formatOf(source) === undefined)
    throw new UserError(
      `${source} is no file of moco embed, which alone can have an index: leave --index out`,
      { code: 'setting-conflict', setting: 'index' },
    );
  const file = await openVectors(source);
  return indexed(file, await openIndex(file, options, remarkTo(io)));
}

function exact(set: VectorSet, { backend: name = 'ort', threads }: SearchOptions): Searcher {
  const { dim, vectors } = set;
  return {
    ...set,
    rows: async (numbers) => rowsOf(vectors, dim, numbers),
    search: async (features, k, own) => {
      const backend = await openBackend(name, threads === undefined ? {} : { threads });
      try {
        const bank = { features: vectors, dim };
        return await nearestNeighbours(backend, { features, dim }, bank, k, (query) => own[query]);
      } finally {
        await backend.dispose();
      }
    },
  };
}

async function indexed(file: VectorFile, index: IndexFile): Promise<Searcher> {
  const { path: name, dim, info } = file;
  return {
    name,
    dim,
    ids: await file.ids(),
    ...(info && { info }),
    rows: async (numbers) =>
      numbers.length === 0 ? new Float32Array(0) : rowsOf(await file.vectors(), dim, numbers),
    search: async (queries, k, own) =>
      own.map((self, i) => {
        const query = queries.subarray(i * dim, (i + 1) * dim);
        const nearest = index.search(query, self === undefined ? k : k + 1);
        return nearest.filter(({ row }) => row !== self).slice(0, k);
      }),
  };
}

function rowsOf(vectors: Float32Array, dim: number, numbers: readonly number[]): Float32Array {
  const rows = new Float32Array(numbers.length * dim);
  numbers.forEach((number, i) => {
    rows.set(vectors.subarray(number * dim, (number + 1) * dim), i * dim);
  });
  return rows;
}

async function embedFiles(
  set: Searcher,
  paths: readonly string[],
  options: SearchOptions,
  io: Io,
): Promise<Float32Array> {
  const model = options.model ?? set.info?.model;
  if (model === undefined)
    throw new UserError(`${set.name} does not say what made its vectors: name the encoder with --model`, {
      code: 'setting-missing',
      setting: 'model',
    });
  const warn = warnTo(io);
  const embedder = await openSame(model, set, { ...options, warn });
  try {
    const vectors = new Float32Array(paths.length * set.dim);
    const onSkip = ({ reason }: { reason: string }) => {
      throw new DataError(reason);
    };
    for await (const batch of embedder.embed(filesAsDataset(paths), 0, { onSkip }))
      vectors.set(batch.vectors, batch.indices[0]! * set.dim);
    return vectors;
  } finally {
    await embedder.dispose();
  }
}

/** The encoder that made a set's vectors, with or without its head. */
async function openSame(
  model: string,
  { info, dim, name }: Searcher,
  options: SetOptions & { readonly warn: (text: Wording) => void },
): Promise<Embedder> {
  let tried: Embedder | undefined;
  for (const withHead of options.withHead === undefined && info !== undefined
    ? [false, true]
    : [options.withHead ?? false]) {
    const embedder = await openEmbedder(model, { ...options, workers: 0, withHead }).catch((error: Error) => {
      if (tried === undefined) throw error;
    });
    if (!embedder) continue;
    if (info === undefined ? embedder.dim === dim : embedder.checksum === info.encoder) return embedder;
    await embedder.dispose();
    tried = embedder;
  }
  throw new UserError(
    info === undefined
      ? `${name} has vectors of ${dim} values, ${model} gives ${tried!.dim}: name the encoder that made them with --model`
      : `${model} has other weights than what made ${name} (${info.model}): name that with --model, or embed again`,
    { code: 'checkpoint-mismatch', setting: 'model', value: model },
  );
}
