/** Encoders from anywhere: runs and checkpoints of this program, files of PyTorch, safetensors files. */

import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  CheckpointError,
  counted,
  type Params,
  prefixed,
  readSafetensors,
  UserError,
  under,
  type Wording,
  withoutHead,
} from '@moco-ts/core';
import {
  aboutKey,
  type ByteSource,
  bytesSource,
  type EncoderOptions,
  type FoundEncoder,
  findEncoder,
  isTorch,
  listed,
  loadedTensors,
  readTorch,
  type TensorFile,
  torchTensors,
  type Value,
} from '@moco-ts/exchange';
import {
  type Checkpoint,
  type CheckpointInfo,
  checkpointOf,
  type RunConfig,
  type RunFlags,
  resolveConfig,
} from '@moco-ts/run';
import { type About, aboutFlags, knownEncoder, parseAbout } from './about.ts';
import { bestText } from './best-file.ts';
import { type Chosen, listCheckpoints, openBest, openCheckpoint } from './checkpoint.ts';
import { type ClassifierFile, type ClassifierInfo, classifierOf } from './classifier-file.ts';
import { faultOf } from './finite.ts';
import { defaultWorkers } from './plugins.ts';
import { entryIfThere, withSource } from './source.ts';
import { version } from './versions.ts';

/** An encoder of another program. */
export interface Foreign {
  readonly encoder: FoundEncoder;
  /** Epochs that it was trained for, when the file says so. */
  readonly epoch: number;
  /** What `moco convert` said of it. */
  readonly about?: About;
}

/** A file of this program. */
export interface Own extends Checkpoint, Partial<Pick<Chosen, 'best' | 'newest'>> {
  /** Of a classifier's file, whose encoder the checkpoint is. */
  readonly classifier?: ClassifierInfo;
}

/**
 * Opens a checkpoint or run of this program as it is, and anything else as a foreign encoder.
 * @param which of a run that chose: its best checkpoint, or the newest
 * @throws UserError
 */
export async function openAny(
  path: string,
  options: EncoderOptions,
  warn: (text: Wording) => void,
  which: 'best' | 'newest' = 'best',
): Promise<Foreign | Own> {
  const entry = await entryIfThere(path);
  if (entry === undefined)
    throw new UserError(`${path}: no such file or run folder`, { code: 'file-missing' });
  if (entry.isDirectory()) {
    // A folder of moco lincls or finetune.
    const best = join(path, 'best.safetensors');
    const only = (await listCheckpoints(path)).length === 0 && (await entryIfThere(best));
    if (only) return openAny(best, options, warn);
    const chosen = which === 'best' ? await openBest(path, warn) : undefined;
    return chosen ?? openCheckpoint(path, warn);
  }
  return withSource(path, (source) => openSource(source, options));
}

async function openSource(source: ByteSource, options: EncoderOptions): Promise<Foreign | Own> {
  const front = await source.read(0, Math.min(16, source.size));
  // A safetensors file has the length of its header in front, then the header, which is JSON.
  if (front[8] === 0x7b) return openSafetensors(source, options);
  if (isTorch(front)) return openTorch(source, options);
  throw new CheckpointError(`${source.name} is neither a file of torch.save nor a safetensors file`);
}

async function openTorch(source: ByteSource, options: EncoderOptions): Promise<Foreign> {
  const file = await readTorch(source);
  const opened = await findKnown(torchTensors(file), options);
  return { epoch: epochOf(file.value), ...opened };
}

/** With what the file says of itself, as far as no option says otherwise. */
async function findKnown(
  file: TensorFile,
  options: EncoderOptions,
): Promise<Pick<Foreign, 'encoder' | 'about'> & { readonly epoch?: number }> {
  const about = file.about === undefined ? undefined : parseAbout(file.about, file.name);
  // Another arch than the file's is another encoder.
  if (about === undefined || (options.arch ?? about.arch) !== about.arch)
    return { encoder: await findEncoder(file, options) };
  const encoder = await findEncoder(file, { ...options, known: knownEncoder(about) });
  return { encoder, about, epoch: about.epoch };
}

function epochOf(value: Value): number {
  const epoch = value instanceof Map ? value.get('epoch') : undefined;
  return Number.isSafeInteger(epoch) && (epoch as number) >= 0 ? (epoch as number) : 0;
}

async function openSafetensors(source: ByteSource, options: EncoderOptions): Promise<Foreign | Own> {
  const { name } = source;
  const file = await readSafetensors(source);
  const { tensors, metadata } = file;
  if (metadata.moco !== undefined) return checkpointOf(file, name, crc32);
  if (metadata.classifier !== undefined) return encoderOfClassifier(classifierOf(file, name));
  return { epoch: 0, ...(await findKnown(loadedTensors(name, tensors, metadata[aboutKey]), options)) };
}

/** The encoder below a classifier of `moco lincls` or `finetune`, as a checkpoint of the run that it came from. */
function encoderOfClassifier({ path, info, tensors }: ClassifierFile): Own {
  const position = { epoch: info.epoch, step: 0, globalStep: 0 };
  return {
    path,
    info: { ...position, config: info.run, images: 0, losses: [], moco: info.moco },
    tensors: prefixed('q', withoutHead(under('q', tensors))),
    classifier: info,
  };
}

/** A foreign encoder as a checkpoint of a run that this program could have made. */
export function asCheckpoint(
  { encoder, epoch, about }: Foreign,
  data: string,
): { info: Omit<CheckpointInfo, 'moco'>; tensors: Params } {
  const { query, key, rest } = encoder;
  const config = configOf(encoder, data, about);
  return {
    info: { epoch, step: 0, globalStep: 0, config, images: 0, losses: [] },
    tensors: { ...prefixed('q', query), ...prefixed('k', key), ...rest },
  };
}

/** What a run would have been configured by; of what trains, the defaults of its method. */
function configOf(
  { arch, imageSize, head, rest, method, pixels }: FoundEncoder,
  data: string,
  about: About | undefined,
): RunConfig {
  const keys = rest.queue?.shape[1];
  const flags: RunFlags & { data: string } = {
    method,
    ...(about && aboutFlags(about)),
    data,
    arch: arch.arch,
    imageSize,
    ...(arch.stem && { stem: arch.stem }),
    ...(arch.patchSize !== undefined && { patchSize: arch.patchSize }),
    ...pixels,
    ...(head && { mocoDim: head.dim }),
    ...(head?.type === 'projector' && { mocoMlpDim: head.hidden }),
    ...(keys !== undefined && { mocoK: keys }),
  };
  return resolveConfig(flags, { source: { data, split: 'train' } }, defaultWorkers());
}

/**
 * Any source of an encoder as a checkpoint: runs and checkpoints as they are, other files as `moco import` converts them.
 * @param note called where a run's best checkpoint is not its newest
 * @throws UserError
 */
export async function openEncoder(
  path: string,
  warn: (text: Wording) => void,
  note: (text: string) => void = () => undefined,
): Promise<Checkpoint> {
  const opened = await openAny(path, {}, warn);
  const choice = isCheckpoint(opened) ? choiceOf(opened) : undefined;
  if (choice !== undefined) note(choice);
  return asRun(path, opened, warn);
}

/** What to say of a run's best checkpoint where there is a newer one. */
export function choiceOf({ path, best, newest }: Own): string | undefined {
  if (best === undefined || newest === undefined || newest === best.file) return undefined;
  return `${path} is the run's best of ${best.candidates.length} (${bestText(best)}); its newest is ${newest}`;
}

/**
 * The same of the bytes of a file.
 * @param name for messages
 */
export async function openEncoderBytes(
  bytes: Uint8Array,
  name: string,
  warn: (text: Wording) => void,
): Promise<Checkpoint> {
  return asRun(name, await openSource(bytesSource(name, bytes), {}), warn);
}

function asRun(path: string, opened: Foreign | Own, warn: (text: Wording) => void): Checkpoint {
  if (isCheckpoint(opened)) {
    checkFinite(path, opened.tensors);
    return opened;
  }
  const { info, tensors } = asCheckpoint(opened, basename(path));
  checkFinite(path, tensors);
  for (const remark of describeForeign(opened).remarks) warn(remark);
  return { path, info: { ...info, moco: version }, tensors };
}

/** Lines for people: what was found, what was left out. */
export function describeForeign({ encoder }: Foreign): { title: string; remarks: Wording[] } {
  const { arch, imageSize, head, kind, unexpected, notes } = encoder;
  const origin = {
    queue: 'MoCo v1 or v2 (encoder_q)',
    momentum: 'MoCo v3 (base_encoder)',
    plain: 'one network',
  };
  const stem = arch.stem === 'cifar' ? ' with the CIFAR stem' : '';
  const projection = head ? `${head.type} head of ${head.dim}` : 'no contrastive head';
  const remarks = [...notes];
  if (unexpected.length > 0)
    remarks.push(
      `${counted(unexpected.length, 'tensor was', 'tensors were')} left out: ${listed(unexpected)}`,
    );
  return {
    title: `${arch.arch}${stem}, ${imageSize} px, ${projection}; of ${origin[kind]}`,
    remarks,
  };
}

/** Whether what was opened is this program's own. */
export function isCheckpoint(opened: Foreign | Own): opened is Own {
  return 'info' in opened;
}

/** @throws CheckpointError when an encoder has weights that are not finite, or negative variances: a run that diverged, or damage */
export function checkFinite(file: string, params: Params): void {
  const fault = faultOf(params);
  if (fault !== undefined)
    throw new CheckpointError(`${file}: ${fault}: the run diverged, or the file is damaged`);
}
