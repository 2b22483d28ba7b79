/** Writes an encoder as ONNX and proves that ONNX Runtime gives the trainer's features. */

import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { createExtractor, type Params, rng, UserError } from '@moco-ts/core';
import { exportEncoder } from '@moco-ts/onnx';
import { modelConfig, modelMetadata, preprocessOf, type RunConfig } from '@moco-ts/run';
import { writeAtomic } from './files.ts';
import type * as Ort from './onnxruntime.ts';
import { openBackend } from './plugins.ts';
import { version } from './versions.ts';

export interface ExportSettings {
  readonly withHead: boolean;
  /** The names of a classifier's classes: `fc.*` is then the classifier, and the model gives its logits. */
  readonly classes?: readonly string[];
  readonly withPreprocess: boolean;
  readonly opset?: number;
  /** The commit of the run. */
  readonly commit?: string;
}

export interface ExportedModel {
  readonly bytes: number;
  /** Largest difference from the features of the trainer. */
  readonly difference: number;
  readonly dim: number;
}

/** Largest difference that passes: of features up to 1 as it is, of larger ones relative to the largest. */
const TOLERANCE = 1e-4;
const PICTURES = 5;

/**
 * @param path of the model
 * @throws UserError when the model's features are not the trainer's; nothing is written then
 */
export async function exportModel(
  config: RunConfig,
  params: Params,
  path: string,
  settings: ExportSettings,
): Promise<ExportedModel> {
  const { imageSize: size } = config;
  const { withHead, withPreprocess, opset, classes } = settings;
  const plain = modelConfig(config, withHead);
  const model = classes ? { ...plain, head: { classes: classes.length } } : plain;
  const bytes = exportEncoder({
    model,
    params,
    metadata: modelMetadata(config, { ...settings, version }),
    ...(withPreprocess && { preprocess: preprocessOf(config) }),
    ...(opset !== undefined && { opset }),
  });
  const random = rng(0, 'export/pictures');
  const raw = Uint8Array.from({ length: PICTURES * size * size * 3 }, () => random.integer(256));
  const normal = planes(raw, config);
  const backend = await openBackend('ort');
  const extractor = await createExtractor(backend, model, params, PICTURES);
  const expected = await extractor.extract(normal);
  await extractor.dispose();
  await backend.dispose();
  const found = withPreprocess
    ? await runModel(bytes, 'uint8', raw, [PICTURES, size, size, 3])
    : await runModel(bytes, 'float32', normal, [PICTURES, 3, size, size]);
  const difference = largestDifference(found, expected);
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  if (!(difference <= TOLERANCE * scale))
    throw new UserError(
      `the exported model's outputs differ from the trainer's by ${difference.toExponential(1)}, more than ${(TOLERANCE * scale).toExponential(1)}: not written`,
    );
  await mkdir(dirname(path), { recursive: true });
  await writeAtomic(path, bytes);
  return { bytes: bytes.length, difference, dim: extractor.dim };
}

/** uint8 [N, S, S, 3] to normalised float32 [N, 3, S, S]. */
function planes(raw: Uint8Array, { imageSize, mean, std }: RunConfig): Float32Array {
  const area = imageSize * imageSize;
  return Float32Array.from({ length: raw.length }, (_, at) => {
    const [image, channel, pixel] = [Math.floor(at / (3 * area)), Math.floor(at / area) % 3, at % area];
    return (raw[(image * area + pixel) * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
  });
}

async function runModel(
  bytes: Uint8Array,
  type: 'uint8' | 'float32',
  data: Uint8Array | Float32Array,
  dims: readonly number[],
): Promise<Float32Array> {
  const own = createRequire(import.meta.url);
  // The very package that the backend runs on.
  const ort = createRequire(own.resolve('@moco-ts/backend-ort/package.json'))(
    'onnxruntime-node',
  ) as typeof Ort;
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  try {
    const { [session.outputNames[0]!]: output } = await session.run({
      [session.inputNames[0]!]: new ort.Tensor(type, data, dims),
    });
    return output!.data as Float32Array;
  } finally {
    await session.release();
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}
