/** Writes an encoder as ONNX and proves that ONNX Runtime gives the trainer's features. */
import { dirname } from 'node:path';
import {
  createExtractor,
  type ModelConfig,
  type Params,
  rng,
  say,
  settingRef,
  UserError,
} from '@moco-ts/core';
import type { ExportOptions, Precision } from '@moco-ts/onnx';
import { modelConfig, modelMetadata, preprocessOf, type RunConfig } from '@moco-ts/run';
import { BATCH, type Calibration, evalBatches, largestValue, rangesOf } from './export-ranges.ts';
import { makeFolder, writeAtomic } from './files.ts';
import { openModel } from './onnx-session.ts';
import { openBackend } from './open-backend.ts';
import { version } from './versions.ts';

export const precisions = ['fp32', 'fp16', 'int8'] as const;
export type PrecisionName = (typeof precisions)[number];

export interface ExportSettings {
  readonly withHead: boolean;
  /** The names of a classifier's classes: `fc.*` is then the classifier, and the model gives its logits. */
  readonly classes?: readonly string[];
  readonly withPreprocess: boolean;
  /** With the encoder's tokens as a second output. */
  readonly tokens?: boolean;
  readonly opset?: number;
  /** The commit of the run. */
  readonly commit?: string;
  readonly precision?: PrecisionName;
  /** `int8`: images that tell the ranges of values; without, ranges are found as they come. */
  readonly calibration?: Calibration;
  /** Names of the input and the output, where a runtime asks for its own. */
  readonly names?: { readonly input: string; readonly output: string };
}

export interface ExportedModel {
  readonly bytes: Uint8Array;
  /** Largest difference from the features of the trainer, and from its tokens. */
  readonly difference: number;
  /** Mean cosine of an image's features here and in the trainer; of tokens, if that is less. */
  readonly cosine: number;
  readonly dim: number;
  /** How many tokens an image has, and the length of each. */
  readonly tokens?: readonly [count: number, dim: number];
  /** `fp16`: the largest absolute value within the network, on the calibration images, or noise. */
  readonly largest?: number;
}

/** Largest difference that passes: of features up to 1 as it is, of larger ones relative to the largest. */
const TOLERANCE = 1e-4;
/** The least mean cosine between the features of a reduced model and the trainer's. */
const LEAST_COSINE = { fp16: 0.999, int8: 0.9 } as const;
const IMAGES = 5;

/**
 * @throws UserError when the model's features are not the trainer's
 */
export async function makeModel(
  config: RunConfig,
  params: Params,
  settings: ExportSettings,
): Promise<ExportedModel> {
  const { withHead, withPreprocess, tokens, opset, classes, calibration, names } = settings;
  const { precision = 'fp32' } = settings;
  const { exportEncoder, largestHalf } = await import('@moco-ts/onnx');
  const plain = modelConfig(config, withHead);
  const model: ModelConfig = {
    ...plain,
    ...(classes && { head: { classes: classes.length } }),
    ...(tokens && { gives: 'both' }),
  };
  const common: ExportOptions = { model, params };
  const metadata = {
    ...modelMetadata(config, { ...settings, version }),
    ...(precision !== 'fp32' && { precision }),
  };
  const bytes = exportEncoder({
    ...common,
    metadata,
    precision: await precisionOf(precision, common, config, calibration),
    ...(withPreprocess && { preprocess: preprocessOf(config) }),
    ...(opset !== undefined && { opset }),
    ...(names && { names }),
  });
  const images = await sampleImages(config, calibration);
  const count = images.raw.length / (3 * config.imageSize ** 2);
  const exported = await openModel(bytes);
  const { imageSize: size } = config;
  const { first, outputs } = await (withPreprocess
    ? exported.run('uint8', images.raw, [count, size, size, 3])
    : exported.run('float32', images.normal, [count, 3, size, size])
  ).finally(() => exported.close());
  const features = await trainerOutputs({ ...model, gives: 'features' }, params, images.normal, count);
  const places =
    tokens && (await trainerOutputs({ ...model, gives: 'tokens' }, params, images.normal, count));
  const compared = [compare(first, features), ...(places ? [compare(outputs.tokens!.data, places)] : [])];
  const largest =
    precision === 'fp16' ? await largestValue(common, config, calibration ?? images.normal) : undefined;
  if (largest !== undefined && !(largest <= largestHalf))
    throw new UserError(
      `fp16 holds values up to ${largestHalf}, and this network's reach ${largest.toExponential(1)}: not written; export in fp32 or int8`,
      { code: 'setting-invalid', setting: 'precision', value: precision },
    );
  for (const { difference, scale } of compared)
    if (precision === 'fp32' && !(difference <= TOLERANCE * scale))
      throw new UserError(
        `the exported model's outputs differ from the trainer's by ${difference.toExponential(1)}, more than ${(TOLERANCE * scale).toExponential(1)}: not written`,
      );
  const difference = Math.max(...compared.map((each) => each.difference));
  const cosine = Math.min(...compared.map((each) => each.cosine));
  if (precision !== 'fp32' && !(cosine >= LEAST_COSINE[precision]))
    throw new UserError(
      say`in ${precision} the features keep a cosine of ${cosine.toFixed(3)} to the trainer's, less than ${LEAST_COSINE[precision]}: not written; ${calibration ? 'export in fp16' : say`calibrate with ${settingRef('calibrate', 'DATA')}, or export in fp16`}`,
      { code: 'setting-invalid', setting: 'precision', value: precision },
    );
  return {
    ...{ bytes, difference, cosine, dim: features.dim },
    ...(places && { tokens: [places.rows, places.dim] as const }),
    ...(largest !== undefined && { largest }),
  };
}

type Outputs = Awaited<ReturnType<typeof trainerOutputs>>;

/** An output of the exported model with the trainer's. `scale`: the largest value, at least 1. */
function compare(actual: Float32Array, { values, dim }: Outputs) {
  return {
    difference: largestDifference(actual, values),
    cosine: meanCosine(actual, values, dim),
    scale: values.reduce((most, value) => Math.max(most, Math.abs(value)), 1),
  };
}

/** Makes a model and writes it. */
export async function exportModel(
  config: RunConfig,
  params: Params,
  path: string,
  settings: ExportSettings,
): Promise<ExportedModel> {
  const model = await makeModel(config, params, settings);
  await makeFolder(dirname(path));
  await writeAtomic(path, model.bytes);
  return model;
}

async function precisionOf(
  name: PrecisionName,
  common: ExportOptions,
  config: RunConfig,
  calibration: Calibration | undefined,
): Promise<Precision> {
  if (name === 'fp32') return { type: 'float32' };
  if (name === 'fp16') return { type: 'float16' };
  return calibration
    ? { type: 'int8', ranges: await rangesOf(common, config, calibration) }
    : { type: 'int8' };
}

/** Images to compare features on: real ones where there are any, else noise. */
async function sampleImages(config: RunConfig, calibration: Calibration | undefined) {
  const { imageSize: size } = config;
  if (calibration) {
    for await (const { data } of evalBatches(config, calibration, BATCH))
      return { normal: data, raw: bytesOf(data, config) };
  }
  const random = rng(0, 'export/pictures');
  const raw = Uint8Array.from({ length: IMAGES * size * size * 3 }, () => random.integer(256));
  return { raw, normal: planes(raw, config) };
}

/** uint8 [N, S, S, 3] to normalised float32 [N, 3, S, S]. */
function planes(raw: Uint8Array, { imageSize, mean, std }: RunConfig): Float32Array {
  const area = imageSize * imageSize;
  return Float32Array.from({ length: raw.length }, (_, at) => {
    const [image, channel, pixel] = [Math.floor(at / (3 * area)), Math.floor(at / area) % 3, at % area];
    return (raw[(image * area + pixel) * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
  });
}

/** The inverse of {@link planes}. */
function bytesOf(normal: Float32Array, { imageSize, mean, std }: RunConfig): Uint8Array {
  const area = imageSize * imageSize;
  return Uint8Array.from({ length: normal.length }, (_, at) => {
    const [image, channel, pixel] = [Math.floor(at / (3 * area)), at % 3, Math.floor(at / 3) % area];
    return Math.round(255 * (normal[(image * 3 + channel) * area + pixel]! * std[channel]! + mean[channel]!));
  });
}

async function trainerOutputs(model: ModelConfig, params: Params, normal: Float32Array, count: number) {
  const backend = await openBackend('ort');
  const extractor = await createExtractor(backend, model, params, count);
  try {
    const { dim, rows } = extractor;
    return { values: await extractor.extract(normal), dim, rows };
  } finally {
    await extractor.dispose();
    await backend.dispose();
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

/** Of rows; NaN where there are values that are none. */
export function meanCosine(a: Float32Array, b: Float32Array, dim: number): number {
  let sum = 0;
  for (let at = 0; at < b.length; at += dim) {
    let [dot, left, right] = [0, 0, 0];
    for (let i = at; i < at + dim; i++) {
      dot += a[i]! * b[i]!;
      left += a[i]! ** 2;
      right += b[i]! ** 2;
    }
    sum += dot / Math.sqrt(left * right);
  }
  return (sum * dim) / b.length;
}
