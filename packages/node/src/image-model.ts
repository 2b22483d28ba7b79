/** Any image encoder as ONNX, given views: where its images go in, what they are made of, and which output is the embedding. */
import { basename, dirname, join } from 'node:path';
import { printable, type SettingError, say, settingRef, UserError, type Wording } from '@moco-ts/core';
import type { Numbers, Pixels } from '@moco-ts/data';
import { IMAGENET_MEAN, IMAGENET_STD } from '@moco-ts/data/portable';
import { type RunFlags, settingsFault } from '@moco-ts/run';
import { type ForeignModel, openForeignModel } from './foreign-model.ts';
import type { OnnxOutput } from './onnx-session.ts';
import { textIfThere } from './source.ts';

/** What the user says of the images of a teacher. */
export type ImageFlags = Pick<RunFlags, 'teacherSize' | 'teacherMean' | 'teacherStd'>;

/** A frozen network, from images to features. */
export interface ImageModel {
  /** The length of its features. */
  readonly dim: number;
  /** Side of its images, in pixels. */
  readonly size: number;
  /** What its images are made of. */
  readonly numbers: Numbers;
  readonly checksum: string;
  /** What it is, and what was assumed of it. */
  readonly remarks: readonly Wording[];
  /** @param images [N, 3, S, S], as `numbers` says, @returns [N, dim] */
  embed(images: Pixels): Promise<Float32Array>;
  close(): Promise<void>;
}

const mismatch = (text: Wording) => new UserError(text, { code: 'checkpoint-mismatch' });

/**
 * @param threads that compute; default all cores
 * @throws UserError for a model that is no image encoder, or whose images nothing tells of
 */
export async function openImageModel(path: string, flags: ImageFlags, threads?: number): Promise<ImageModel> {
  const model = await openForeignModel(path, threads);
  try {
    return await imageModelOf(path, model, flags);
  } catch (error) {
    await model.close();
    throw error;
  }
}

async function imageModelOf(path: string, model: ForeignModel, flags: ImageFlags): Promise<ImageModel> {
  const input = inputOf(path, model);
  const noted = notesOf(model.metadata) ?? (await notesBeside(path));
  const size = sizeOf(path, input.size, { ...noted, ...flags });
  const { teacherMean: mean, teacherStd: std } = { ...noted, ...flags };
  const numbers: Numbers = input.bytes ? 'bytes' : { mean: mean ?? IMAGENET_MEAN, std: std ?? IMAGENET_STD };
  const run = async (images: Pixels, count: number) => {
    const dims = input.channelsLast ? [count, size, size, 3] : [count, 3, size, size];
    const data = input.channelsLast ? channelsLast(images, size * size) : images;
    const { outputs } = await model.run(input.bytes ? 'uint8' : 'float32', data, dims);
    return outputs;
  };
  const image = 3 * size * size;
  const blank = (count: number) => new (input.bytes ? Uint8Array : Float32Array)(count * image);
  const tried = input.batch ?? 1;
  const outputs = await run(blank(tried), tried).catch((error: Error) => {
    throw mismatch(
      say`${path} takes no images of ${size} x ${size} (${error.message}): name their side by ${settingRef('teacherSize')}`,
    );
  });
  const { name, dim, read, what } = readingOf(path, outputs, tried);
  const embed = async (images: Pixels) => {
    const count = images.length / image;
    const { batch = count } = input;
    if (batch === count) return read((await run(images, count))[name]!, count);
    const features = new Float32Array(count * dim);
    for (let at = 0; at < count; at += batch) {
      const part = blank(batch);
      part.set(images.subarray(at * image, (at + batch) * image));
      const rows = Math.min(batch, count - at);
      features.set(read((await run(part, batch))[name]!, batch).subarray(0, rows * dim), at * dim);
    }
    return features;
  };
  const remarks: Wording[] = [
    `Teacher: ${path}, ${what}; images of ${size} px${numbers === 'bytes' ? ' as bytes' : ''}`,
  ];
  if (numbers !== 'bytes' && (mean === undefined || std === undefined))
    remarks.push(
      say`${path} does not say how its images are normalised: ImageNet's mean and std are taken; else name them by ${settingRef('teacherMean')} and ${settingRef('teacherStd')}`,
    );
  return { dim, size, numbers, checksum: model.checksum, remarks, embed, close: () => model.close() };
}

interface ImageInput {
  readonly bytes: boolean;
  /** [N, H, W, 3] */
  readonly channelsLast: boolean;
  /** Images of a call, where not free. */
  readonly batch: number | undefined;
  /** Side, where not free. */
  readonly size: number | undefined;
}

function inputOf(path: string, { inputs }: ForeignModel): ImageInput {
  const [input] = inputs;
  const names = printable(inputs.map(({ name }) => name).join(', '));
  if (inputs.length !== 1 || input === undefined)
    throw mismatch(`${path} takes ${names || 'nothing'}: export its image encoder alone, which takes images`);
  const { type, shape } = input;
  if (type !== 'float32' && type !== 'uint8')
    throw mismatch(`${path} takes ${type ?? 'no tensor'}: export it for images of float32 (or uint8)`);
  const bytes = type === 'uint8';
  const fixed = shape.map((extent) => (typeof extent === 'number' && extent > 0 ? extent : undefined));
  const last = fixed[1] !== 3 && (fixed[3] === 3 || bytes);
  const channels = fixed[last ? 3 : 1];
  if ((shape.length !== 4 && shape.length !== 0) || (channels !== undefined && channels !== 3))
    throw mismatch(
      `${path} takes [${printable(shape.join(', '))}], no images of three channels, [N, 3, H, W] or [N, H, W, 3]`,
    );
  const [height, width] = last ? [fixed[1], fixed[2]] : [fixed[2], fixed[3]];
  if (height !== width)
    throw mismatch(`${path} takes images of ${height ?? 'any'} x ${width ?? 'any'}, and views are square`);
  return { bytes, channelsLast: last, batch: fixed[0], size: height };
}

function sizeOf(path: string, own: number | undefined, { teacherSize }: ImageFlags): number {
  const size = own ?? teacherSize;
  if (size === undefined)
    throw new UserError(
      say`${path} takes images of any size and does not say which it was trained on: name their side by ${settingRef('teacherSize', 224)}`,
      { code: 'setting-missing' },
    );
  if (teacherSize !== undefined && teacherSize !== size)
    throw new UserError(
      say`${path} takes images of ${size} px, not ${settingRef('teacherSize', teacherSize)}: leave it out`,
      { code: 'setting-conflict' },
    );
  return size;
}

/** What a model of `moco export` says of its images. */
function notesOf({ moco, size, mean, std }: Readonly<Record<string, string>>): ImageFlags | undefined {
  if (moco === undefined) return undefined;
  try {
    const noted = {
      teacherSize: Number(size),
      teacherMean: JSON.parse(mean!) as number[],
      teacherStd: JSON.parse(std!) as number[],
    };
    return settingsFault(noted) === undefined ? noted : undefined;
  } catch {
    return undefined;
  }
}

interface Preprocessor {
  readonly size?: unknown;
  readonly crop_size?: unknown;
  readonly do_center_crop?: unknown;
  readonly do_normalize?: unknown;
  readonly image_mean?: unknown;
  readonly image_std?: unknown;
  readonly rescale_factor?: unknown;
}

/** What `preprocessor_config.json` of transformers.js says, in the model's folder or the one above `onnx/`. */
async function notesBeside(path: string): Promise<ImageFlags> {
  const folder = dirname(path);
  const name = 'preprocessor_config.json';
  const above = basename(folder) === 'onnx' ? [join(dirname(folder), name)] : [];
  for (const file of [join(folder, name), ...above]) {
    const text = await textIfThere(file);
    if (text === undefined) continue;
    const unusable = (why: string) =>
      mismatch(`${file} says nothing that can be used of the model's images: ${printable(why)}`);
    let noted: ImageFlags;
    try {
      noted = notedIn(JSON.parse(text) as Preprocessor);
    } catch (error) {
      throw unusable((error as Error).message);
    }
    const fault: SettingError | undefined = settingsFault(noted);
    if (fault !== undefined) throw unusable(fault.message);
    return noted;
  }
  return {};
}

function notedIn(config: Preprocessor): ImageFlags {
  const cropped = config.do_center_crop === false ? undefined : sideOf(config.crop_size);
  const side = cropped ?? sideOf(config.size);
  // Theirs are of rescaled values, ours of values in [0, 1].
  const { rescale_factor: factor = 1 / 255, do_normalize } = config;
  const unit = 255 * (factor as number);
  const scaled = (values: unknown, usual: number) =>
    (do_normalize === false ? [usual, usual, usual] : (values as number[])).map((value) => value / unit);
  return {
    ...(side !== undefined && { teacherSize: side }),
    ...((config.image_mean !== undefined || do_normalize === false) && {
      teacherMean: scaled(config.image_mean, 0),
      teacherStd: scaled(config.image_std, 1),
    }),
  };
}

/** `224`, `{ height, width }` or `{ shortest_edge }`. */
function sideOf(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null) return value as number | undefined;
  const { height, shortest_edge: edge } = value as { height?: number; shortest_edge?: number };
  return height ?? edge;
}

/** How an output becomes features. */
interface Reading {
  readonly name: string;
  readonly dim: number;
  readonly what: string;
  read(output: OnnxOutput, count: number): Float32Array;
}

/** Names that encoders give their embedding. */
const embeddings = /embed|feature|pool/i;

/** The output that is an embedding: one vector for each image, else the class token or the mean of tokens, else the mean of a map. */
function readingOf(path: string, outputs: Readonly<Record<string, OnnxOutput>>, count: number): Reading {
  const usable = Object.entries(outputs).flatMap(([name, { type, dims }]) => {
    const [rows, ...rest] = dims;
    const extents = rest.filter((extent, axis) => extent !== 1 || axis === 0);
    const isOf = type === 'float32' && rows === count && extents.every((extent) => extent > 0);
    return isOf && extents.length >= 1 && extents.length <= 3 ? [{ name, extents }] : [];
  });
  const of = (rank: number) => usable.filter(({ extents }) => extents.length === rank);
  const vectors = of(1);
  const vector =
    vectors.find(({ name }) => embeddings.test(name)) ?? vectors.find(({ name }) => !/logit/i.test(name));
  const chosen = vector ?? of(2)[0] ?? of(3)[0] ?? vectors[0];
  if (chosen === undefined) {
    const given = Object.entries(outputs).map(([name, { type, dims }]) => `${name} ${type} [${dims}]`);
    throw mismatch(
      `${path} gives no features, [N, D] or [N, T, D] of float32: ${printable(given.join(', '))}`,
    );
  }
  return reading(chosen.name, chosen.extents);
}

function reading(name: string, extents: readonly number[]): Reading {
  const shown = printable(name);
  const [first = 0, ...rest] = extents;
  if (rest.length === 0)
    return { name, dim: first, what: `${first} features ("${shown}")`, read: ({ data }) => data };
  if (rest.length === 2) {
    const area = rest[0]! * rest[1]!;
    const read: Reading['read'] = ({ data }, count) =>
      Float32Array.from({ length: count * first }, (_, at) => meanOf(data, at * area, area, 1));
    return { name, dim: first, what: `${first} features, the mean of a map ("${shown}")`, read };
  }
  const [tokens, dim] = [first, rest[0]!];
  // As many tokens as patches of a square: none is the class's.
  const isMean = Number.isInteger(Math.sqrt(tokens));
  const read: Reading['read'] = ({ data }, count) =>
    Float32Array.from({ length: count * dim }, (_, at) => {
      const start = Math.floor(at / dim) * tokens * dim + (at % dim);
      return isMean ? meanOf(data, start, tokens, dim) : data[start]!;
    });
  const part = isMean ? `the mean of ${tokens} tokens` : `the first of ${tokens} tokens, the class's`;
  return { name, dim, what: `${dim} features, ${part} ("${shown}")`, read };
}

function meanOf(data: Float32Array, from: number, count: number, step: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += data[from + i * step]!;
  return sum / count;
}

/** [N, 3, S, S] to [N, S, S, 3]. @param area S S */
function channelsLast(images: Pixels, area: number): Pixels {
  const out = images.slice();
  for (let at = 0; at < images.length; at += 3 * area)
    for (let pixel = 0; pixel < area; pixel++)
      for (let channel = 0; channel < 3; channel++)
        out[at + 3 * pixel + channel] = images[at + channel * area + pixel]!;
  return out;
}
