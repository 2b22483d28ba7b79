/** A set of vectors to work on: a file of moco embed, or images that are embedded at once. */
import { DataError, UserError } from '@moco-ts/core';
import { decodeFile, type ImageDataset, nameOfText, reopenDataset } from '@moco-ts/data';
import { asStored, leftOut, type Note, openData, skipList } from '@moco-ts/node';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { type Embedder, type EmbedderOptions, openEmbedder } from './embedder.ts';
import { formatOf, openVectors, type VectorFile, type VectorInfo } from './file.ts';
import { progressLine } from './progress.ts';

export interface SetOptions extends Omit<EmbedderOptions, 'warn'> {
  readonly model?: string;
  readonly split?: 'train' | 'test';
  readonly holdOut?: number;
  readonly designers?: readonly string[];
  /** Called with the number of vectors and their length before they are read or made; may throw to refuse them. */
  readonly expect?: (count: number, dim: number) => void;
  readonly maxBad?: number;
}

export interface VectorSet {
  readonly name: string;
  readonly ids: readonly string[];
  readonly dim: number;
  /** [ids.length, dim], not necessarily of length 1. */
  readonly vectors: Float32Array;
  readonly info?: VectorInfo;
  /** The images, if they were just embedded. */
  readonly dataset?: ImageDataset;
}

/**
 * @param source a file of moco embed, or a data set, which needs `options.model`
 * @throws UserError
 */
export async function openSet(source: string, options: SetOptions, io: Io): Promise<VectorSet> {
  if (formatOf(source) !== undefined) {
    const file = await openVectors(source);
    options.expect?.(file.rows, file.dim);
    return readSet(file);
  }
  if (options.model === undefined)
    throw new UserError(`${source} is no file of moco embed: name the encoder of its images with --model`, {
      code: 'setting-missing',
      setting: 'model',
    });
  const embedder = await openEmbedder(options.model, { ...options, warn: warnTo(io), note: remarkTo(io) });
  try {
    return await embedSet(source, embedder, options, io);
  } finally {
    await embedder.dispose();
  }
}

export async function readSet(file: VectorFile): Promise<VectorSet> {
  const { path: name, dim, info } = file;
  return { name, dim, ids: await file.ids(), vectors: await file.vectors(), ...(info && { info }) };
}

async function embedSet(source: string, embedder: Embedder, options: SetOptions, io: Io): Promise<VectorSet> {
  const { split = 'train', holdOut } = options;
  const designers = options.designers ?? embedder.config?.designers;
  const dataset = await openData(
    { data: source, ...(designers && { designers }), ...(holdOut !== undefined && { holdOut }) },
    split,
    noteTo(io),
  );
  options.expect?.(dataset.length, embedder.dim);
  const { ids, vectors } = await embedAll(embedder, dataset, options.maxBad, io);
  if (ids.length === 0) throw new DataError(`${source}: none of its images could be read`);
  return { name: source, ids, dim: embedder.dim, vectors, dataset };
}

async function embedAll(embedder: Embedder, dataset: ImageDataset, maxBad: number | undefined, io: Io) {
  const vectors = new Float32Array(dataset.length * embedder.dim);
  const ids: string[] = [];
  const progress = progressLine(io, dataset.length);
  const skips = skipList(progress.warn);
  const damage = { onSkip: skips.onSkip, ...(maxBad !== undefined && { maxBad }) };
  for await (const batch of embedder.embed(dataset, 0, damage)) {
    vectors.set(batch.vectors, ids.length * embedder.dim);
    for (const index of batch.indices) ids.push(dataset.id(index));
    progress.update(batch.indices.at(-1)! + 1);
  }
  progress.end();
  io.aside(leftOut(skips));
  return { ids, vectors: vectors.subarray(0, ids.length * embedder.dim) };
}

/** @throws UserError when the set does not say, or its images are gone */
export async function datasetOf(
  { name, info, dataset }: VectorSet,
  data: string | undefined,
  note: Note,
): Promise<ImageDataset> {
  if (data !== undefined && info !== undefined) return reopenDataset({ ...info.data, data });
  if (data !== undefined) return openData({ data }, 'train', note);
  if (dataset !== undefined) return dataset;
  if (info !== undefined) return asStored(name, () => reopenDataset(info.data), '--data FOLDER');
  throw new UserError(`${name} does not say where its images are: name their folder with --data`, {
    code: 'setting-missing',
    setting: 'data',
  });
}

/** The number of an image in its data set by its id; -1 when it is gone. */
export function numbersOf(dataset: ImageDataset): (id: string) => number {
  const numbers = new Map(Array.from({ length: dataset.length }, (_, i) => [dataset.id(i), i]));
  return (id) => numbers.get(id) ?? -1;
}

/** Single files as a data set. */
export function filesAsDataset(paths: readonly string[]): ImageDataset {
  return {
    name: 'files',
    length: paths.length,
    label: () => undefined,
    id: (index) => paths[index]!,
    decode: (index) => decodeFile(paths[index]!),
    source: { data: 'files', split: 'train' },
    share: () => ({ kind: 'files', root: '', paths: paths.map(nameOfText) }),
  };
}
