/** The trained network that a run learns from (`teacher`): an ONNX model, or whatever an encoder is read from. */
import { join } from 'node:path';
import {
  type Backend,
  CheckpointError,
  createExtractor,
  noRandom,
  SettingError,
  say,
  settingRef,
  under,
  type Wording,
  withoutHead,
} from '@moco-ts/core';
import type { Pixels } from '@moco-ts/data';
import { resampledPositions } from '@moco-ts/exchange';
import {
  type Checkpoint,
  checksum,
  encoderOf,
  methodOf,
  modelConfig,
  type RunConfig,
  type RunFlags,
  takes,
} from '@moco-ts/run';
import { openEncoder } from './foreign.ts';
import { type ImageFlags, type ImageModel, openImageModel } from './image-model.ts';
import { registerPlugins } from './plugins.ts';
import { entryIfThere } from './source.ts';
import { modelFiles } from './transformers-js.ts';

/** The path of an ONNX model, in a folder of transformers.js too; undefined for what is none. */
async function onnxPath(path: string): Promise<string | undefined> {
  if (path.toLowerCase().endsWith('.onnx')) return path;
  const inside = join(path, modelFiles.fp32);
  return (await entryIfThere(inside)) ? inside : undefined;
}

/**
 * The flags of a run with what its teacher settles: the length of features, and what images it takes. Flags of a method that has no
 * teacher are left as they are.
 * @param note called with a line on the teacher, and with what was assumed of it
 * @throws UserError for a teacher that is missing, can't be read, or has features of another length than the flags ask for
 */
export async function withTeacher(
  flags: RunFlags & Pick<RunConfig, 'method'>,
  note: (text: Wording) => void,
): Promise<RunFlags> {
  const { method, teacher: path, mocoDim } = flags;
  await registerPlugins();
  if (!takes(methodOf({ method }), 'teacher')) return flags;
  if (path === undefined)
    throw new SettingError(
      say`${method} needs ${settingRef('teacher')}: an ONNX model, a run, a checkpoint or a file that moco import takes`,
      { code: 'setting-missing' },
    );
  const teacher = await describeTeacher(path, flags, note);
  if (mocoDim !== undefined && mocoDim !== teacher.dim)
    throw new SettingError(
      say`${settingRef('mocoDim', mocoDim)} is not the length of the teacher's features, ${teacher.dim}: leave it out`,
      { code: 'setting-conflict' },
    );
  const { dim, size: teacherSize, numbers, checksum: teacherChecksum } = teacher;
  return {
    ...flags,
    mocoDim: dim,
    teacherSize,
    ...(numbers !== 'bytes' && { teacherMean: numbers.mean, teacherStd: numbers.std }),
    teacherChecksum,
  };
}

type Description = Pick<ImageModel, 'dim' | 'size' | 'numbers' | 'checksum'>;

async function describeTeacher(
  path: string,
  flags: ImageFlags,
  note: (text: Wording) => void,
): Promise<Description> {
  const onnx = await onnxPath(path);
  if (onnx !== undefined) {
    const model = await openImageModel(onnx, flags);
    await model.close();
    model.remarks.forEach(note);
    return model;
  }
  const described = encoderFrom(await openEncoder(path, note), flags);
  const { dim, size } = described;
  note(`Teacher: ${path}, ${described.config.arch}, ${dim} features; images of ${size} px`);
  return described;
}

/** An encoder of a checkpoint, without its head. */
function encoderFrom({ path, info, tensors }: Checkpoint, flags: ImageFlags) {
  const { imageSize, mean, std } = info.config;
  const { teacherSize: size = imageSize, teacherMean = mean, teacherStd = std } = flags;
  const config = { ...info.config, imageSize: size };
  const params = withoutHead(under('q', tensors));
  const { encoder, encoderConfig } = encoderOf(config);
  const { pos_embed: positions } = params;
  const wanted = size === imageSize || !positions ? undefined : encoder.init(encoderConfig, noRandom);
  const resampled = wanted?.pos_embed && resampledPositions(positions!, wanted.pos_embed.shape);
  if (wanted && !resampled)
    throw new CheckpointError(
      say`${path} has positions for images of ${imageSize} px, not ${settingRef('teacherSize', size)}: leave it out`,
      { code: 'checkpoint-mismatch' },
    );
  return {
    config,
    params: resampled ? { ...params, pos_embed: resampled } : params,
    dim: encoder.featureDim(encoderConfig),
    size,
    numbers: { mean: teacherMean, std: teacherStd },
    checksum: checksum(params),
  };
}

/** A teacher at work. */
export type Teacher = Omit<ImageModel, 'remarks'>;

/**
 * Opens the teacher of a run.
 * @param backend computes an encoder of a checkpoint; an ONNX model runs in ONNX Runtime
 * @returns undefined where the method has none
 * @throws UserError, also for another network than the run began with
 */
export async function openTeacher(config: RunConfig, backend: Backend): Promise<Teacher | undefined> {
  const { teacher: path, teacherChecksum } = config;
  if (path === undefined || !takes(methodOf(config), 'teacher')) return undefined;
  const onnx = await onnxPath(path);
  const teacher = onnx
    ? await openImageModel(onnx, config, config.threads)
    : await extractorOf(await openEncoder(path, () => undefined), config, backend);
  if (teacher.checksum === teacherChecksum) return teacher;
  await teacher.close();
  throw new CheckpointError(
    say`${path} is not the teacher that this run began with (its checksum is ${teacher.checksum}, was ${teacherChecksum ?? 'none'}): name that one by ${settingRef('teacher')}, or start a new run`,
    { code: 'checkpoint-mismatch', setting: 'teacher', value: path },
  );
}

async function extractorOf(checkpoint: Checkpoint, config: RunConfig, backend: Backend): Promise<Teacher> {
  const { params, config: own, ...described } = encoderFrom(checkpoint, config);
  const extractor = await createExtractor(backend, modelConfig(own), params, config.batchSize);
  return {
    ...described,
    embed: (images: Pixels) => extractor.extract(images as Float32Array),
    close: () => extractor.dispose(),
  };
}
