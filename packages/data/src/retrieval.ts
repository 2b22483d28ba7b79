import { DataError } from '@moco-ts/core';
import type { DatasetSpec, ImageDataset } from './dataset.ts';
import { codepointsOf } from './datasets/emoji.ts';
import { type ImageBatch, loadEval, type ReadOptions, readSkips, runAll } from './loader/eval.ts';
import { nearestLabelAccuracy, recallAt1 } from './recall.ts';
import { IMAGENET_MEAN, IMAGENET_STD, views } from './views/config.ts';

/** Images to embed, in a fixed order. */
export interface ImageSequence {
  /** Of the data set, for messages. */
  readonly name: string;
  readonly length: number;
  /** `[length]`: which images of the data set. */
  readonly indices: Int32Array;
  /** Sequences with equal keys hold the same images: features may be kept under it. */
  readonly key: string;
  /** Damaged images are left out: the `indices` of a batch tell which it has. */
  batches(options?: ReadOptions): AsyncIterable<ImageBatch>;
}

/** Queries of one search among part of the gallery. */
export interface RetrievalRound {
  readonly name: string;
  /** Rows of `queries` that are asked. */
  readonly query: Int32Array;
  /** Rows of `gallery` that are searched. */
  readonly gallery: Int32Array;
  /** For each query, the place in this round's `gallery` that is right. */
  readonly target: Int32Array;
}

/** A measure without labels: is the right image the nearest one? */
export interface RetrievalTask {
  readonly name: RetrievalName;
  readonly queries: ImageSequence;
  readonly gallery: ImageSequence;
  /** The result is the mean of the rounds'. */
  readonly rounds: readonly RetrievalRound[];
  /** For each query of the first round, the right place in its gallery. */
  readonly target: Int32Array;
}

export type RetrievalName = 'edited-copies' | 'cross-designer';

export interface RetrievalOptions {
  readonly size: number;
  /** Of the channels R, G, B in [0, 1], subtracted; default ImageNet's. */
  readonly mean?: readonly number[];
  /** Of the channels, by which they are divided; default ImageNet's. */
  readonly std?: readonly number[];
  /** Seed of the edits; default 0. Fixed, so that results compare. */
  readonly seed?: number;
  /** `edited-copies`: at most this many images, evenly spaced; default 5000. */
  readonly limit?: number;
}

/**
 * A label-free measure on held-out images.
 * - `edited-copies`: the query is a strongly edited view of an image (aug-plus, crop .35-1, one fixed draw each), the
 *   gallery all images under the eval transform.
 * - `cross-designer` (emoji only): the query is one designer's drawing, the gallery another's; one round for each ordered
 *   pair of designers.
 * @throws DataError if the data set does not suit the task
 */
export function retrievalTask(
  name: RetrievalName,
  dataset: ImageDataset,
  options: RetrievalOptions,
): RetrievalTask {
  return name === 'edited-copies' ? editedCopies(dataset, options) : crossDesigner(dataset, options);
}

/** The tasks that suit a data set. */
export function retrievalTasks(dataset: ImageDataset, options: RetrievalOptions): RetrievalTask[] {
  const tasks = [retrievalTask('edited-copies', dataset, options)];
  if (designersOf(dataset).size > 1) tasks.push(retrievalTask('cross-designer', dataset, options));
  return tasks;
}

function editedCopies(dataset: ImageDataset, options: RetrievalOptions): RetrievalTask {
  const rows = chosen(dataset, options.limit ?? 5000);
  const config = views['aug-plus']({ size: options.size, cropMin: 0.35 })[0];
  const { mean = IMAGENET_MEAN, std = IMAGENET_STD, seed = 0 } = options;
  const make = { kind: 'views', configs: [config], seed, epoch: 0, purpose: 'edited' } as const;
  const queries: ImageSequence = {
    name: dataset.name,
    length: rows.length,
    indices: rows,
    key: keyOf('edited', dataset, options),
    async *batches(read = {}) {
      const skips = readSkips(dataset, read);
      for await (const result of runAll(dataset, rows, { mean, std, make }, read)) {
        skips.add(result.skipped);
        if (result.indices.length > 0) yield { indices: result.indices, data: result.views[0]! };
      }
    },
  };
  const all = count(rows.length);
  const round = { name: 'edited-copies', query: all, gallery: all, target: all };
  return {
    name: 'edited-copies',
    queries,
    gallery: sequenceOf(dataset, rows, options),
    rounds: [round],
    target: all,
  };
}

function crossDesigner(dataset: ImageDataset, options: RetrievalOptions): RetrievalTask {
  const designers = designersOf(dataset);
  if (designers.size < 2) {
    throw new DataError(
      `cross-designer compares designers of the emoji set; ${dataset.name} has fewer than two`,
    );
  }
  const rounds: RetrievalRound[] = [];
  for (const [asking, asked] of designers) {
    for (const [answering, gallery] of designers) {
      if (asking === answering) continue;
      const place = new Map([...gallery].map((row, i) => [codepointsOf(dataset.id(row)), i]));
      const query = asked.filter((row) => place.has(codepointsOf(dataset.id(row))));
      rounds.push({
        name: `${asking}-${answering}`,
        query: Int32Array.from(query),
        gallery: Int32Array.from(gallery),
        target: Int32Array.from(query, (row) => place.get(codepointsOf(dataset.id(row)))!),
      });
    }
  }
  const images = sequenceOf(dataset, count(dataset.length), options);
  return { name: 'cross-designer', queries: images, gallery: images, rounds, target: rounds[0]!.target };
}

/** Turns `[N, 3, S, S]` into features `[N, dim]`. */
export type Embed = (data: Float32Array, rows: number) => Promise<Float32Array>;

/**
 * R@1 of each task, in [0, 1]. Images that several tasks share are embedded once; damaged ones are neither asked nor found.
 * @param embed the encoder; every batch must give the same dim
 * @throws DataError if a task has no readable images, or more than `read.maxBad` are damaged
 */
export async function evaluateRetrieval(
  tasks: readonly RetrievalTask[],
  embed: Embed,
  read: ReadOptions = {},
): Promise<Partial<Record<RetrievalName, number>>> {
  const kept = new Map<string, Embedded>();
  const features = async (sequence: ImageSequence) => {
    const embedded = kept.get(sequence.key) ?? (await embedAll(sequence, embed, read));
    kept.set(sequence.key, embedded);
    return embedded;
  };
  const scores: Partial<Record<RetrievalName, number>> = {};
  for (const task of tasks) {
    const queries = await features(task.queries);
    const gallery = await features(task.gallery);
    const rounds = readableRounds(task, queries.rows, gallery.rows);
    if (rounds.length === 0)
      throw new DataError(`${task.gallery.name}: too few readable images for ${task.name}`);
    scores[task.name] = scoreRetrieval({ rounds }, queries.features, gallery.features, gallery.dim);
  }
  return scores;
}

/**
 * The rounds of a task over features of those images alone that could be read.
 * @param queries, gallery rows of the task's sequences, ascending
 */
function readableRounds(task: RetrievalTask, queries: Int32Array, gallery: Int32Array): RetrievalRound[] {
  const { length } = task.gallery;
  if (queries.length === task.queries.length && gallery.length === length) return [...task.rounds];
  const placeOf = (rows: Int32Array) => new Map([...rows].map((row, place) => [row, place]));
  const [asked, present] = [placeOf(queries), placeOf(gallery)];
  return task.rounds.flatMap((round) => {
    const left = [...round.gallery.keys()].filter((at) => present.has(round.gallery[at]!));
    const target = placeOf(Int32Array.from(left));
    const right = [...round.query.keys()].filter(
      (at) => asked.has(round.query[at]!) && target.has(round.target[at]!),
    );
    if (right.length === 0) return [];
    return {
      name: round.name,
      query: Int32Array.from(right, (at) => asked.get(round.query[at]!)!),
      gallery: Int32Array.from(left, (at) => present.get(round.gallery[at]!)!),
      target: Int32Array.from(right, (at) => target.get(round.target[at]!)!),
    };
  });
}

/** R@1 of one task, the mean of its rounds. @param queries `[queries.length, dim]` @param gallery `[gallery.length, dim]` */
export function scoreRetrieval(
  task: Pick<RetrievalTask, 'rounds'>,
  queries: Float32Array,
  gallery: Float32Array,
  dim: number,
): number {
  const scores = task.rounds.map((round) =>
    recallAt1(takeRows(queries, round.query, dim), takeRows(gallery, round.gallery, dim), dim, round.target),
  );
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** Features of the images of a sequence that could be read. */
export interface Embedded {
  /** `[rows.length, dim]` */
  readonly features: Float32Array;
  readonly dim: number;
  /** Their rows in the sequence, ascending: all except damaged images. */
  readonly rows: Int32Array;
}

/**
 * Embeds a sequence.
 * @throws DataError if none of its images can be read, or more than `read.maxBad` can't
 */
export async function embedAll(
  sequence: ImageSequence,
  embed: Embed,
  read: ReadOptions = {},
): Promise<Embedded> {
  const rows: number[] = [];
  let out: Float32Array | undefined;
  let dim = 0;
  let next = 0;
  for await (const { indices, data } of sequence.batches(read)) {
    const features = await embed(data, indices.length);
    dim = features.length / indices.length;
    out ??= new Float32Array(sequence.length * dim);
    out.set(features, rows.length * dim);
    for (const index of indices) {
      while (sequence.indices[next] !== index) next++;
      rows.push(next++);
    }
  }
  if (out === undefined) throw new DataError(`${sequence.name}: none of its images could be read`);
  return { features: out.subarray(0, rows.length * dim), dim, rows: Int32Array.from(rows) };
}

/** All images of a data set under the eval transform, as a sequence. */
export function evalImages(dataset: ImageDataset, options: RetrievalOptions): ImageSequence {
  return sequenceOf(dataset, count(dataset.length), options);
}

/**
 * Same-category neighbour: the share of labelled images whose nearest other image has their label.
 * @param features of the images `rows` of the set, `[rows.length, dim]`
 */
export function neighbourAccuracy(dataset: ImageDataset, { features, dim, rows }: Embedded): number {
  return nearestLabelAccuracy(
    features,
    dim,
    rows.map((row) => dataset.label(row) ?? -1),
  );
}

function sequenceOf(dataset: ImageDataset, rows: Int32Array, options: RetrievalOptions): ImageSequence {
  return {
    name: dataset.name,
    length: rows.length,
    indices: rows,
    key: keyOf(`eval/${rows.length}`, dataset, options),
    batches: (read = {}) => loadEval(dataset, { ...options, ...read, indices: rows }),
  };
}

function keyOf(kind: string, dataset: ImageDataset, options: RetrievalOptions): string {
  const source: DatasetSpec = dataset.source;
  return JSON.stringify([kind, source, options]);
}

/** Rows of each designer, if the set is the emoji one. */
function designersOf(dataset: ImageDataset): Map<string, number[]> {
  const rows = new Map<string, number[]>();
  if (dataset.source.data !== 'emoji') return rows;
  for (let i = 0; i < dataset.length; i++) {
    const designer = dataset.id(i).split('/')[0]!;
    const list = rows.get(designer);
    if (list === undefined) rows.set(designer, [i]);
    else list.push(i);
  }
  return rows;
}

function chosen(dataset: ImageDataset, limit: number): Int32Array {
  const length = Math.min(limit, dataset.length);
  return Int32Array.from({ length }, (_, i) => Math.floor((i * dataset.length) / length));
}

const count = (length: number) => Int32Array.from({ length }, (_, i) => i);

function takeRows(features: Float32Array, rows: Int32Array, dim: number): Float32Array {
  const out = new Float32Array(rows.length * dim);
  rows.forEach((row, i) => {
    out.set(features.subarray(row * dim, (row + 1) * dim), i * dim);
  });
  return out;
}
