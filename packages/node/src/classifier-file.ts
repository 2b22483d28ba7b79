/** Trained classifiers on the disk: one safetensors file with the encoder, the classifier, and how they were made. */

import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  CheckpointError,
  readSafetensors,
  type SafetensorsFile,
  safetensorsParts,
  type Tensor,
} from '@moco-ts/core';
import { checksum, type ProbeRecipe, type RunConfig } from '@moco-ts/run';
import { undefinedIfDamaged, writeAtomic } from './files.ts';
import { entryIfThere, withSource } from './source.ts';
import { storedClassifier } from './stored-classifier.ts';
import { version } from './versions.ts';

/** How a classifier is trained. */
export interface ClassifierRecipe extends ProbeRecipe {
  /** `linear`: the frozen encoder's features; `all`: every layer. */
  readonly train: 'linear' | 'all';
  readonly data: string;
  readonly holdOut?: number;
  readonly seed: number;
  /** Features are computed once, from images that are not augmented. */
  readonly cacheFeatures: boolean;
}

export interface ClassifierInfo {
  readonly recipe: ClassifierRecipe;
  /** The run that the encoder is of. */
  readonly run: RunConfig;
  /** The encoder's checkpoint; `random` for an untrained one. */
  readonly encoder: string;
  readonly classes: readonly string[];
  /** Epochs that are done. */
  readonly epoch: number;
  /** Percent, on the test split, after that epoch. */
  readonly acc1: number;
  readonly acc5: number;
  /** The best so far. */
  readonly bestAcc1: number;
  readonly moco: string;
}

export interface ClassifierFile {
  readonly path: string;
  readonly info: ClassifierInfo;
  /** `q.*` with the classifier as `q.fc.*`, and the optimizer's slots. */
  readonly tensors: Record<string, Tensor>;
}

/** @throws UserError when the disk refuses */
export async function saveClassifier(
  path: string,
  info: Omit<ClassifierInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
): Promise<void> {
  const classifier = JSON.stringify({ ...info, moco: version });
  await writeAtomic(
    path,
    safetensorsParts(tensors, { format: 'moco-ts', crc32: checksum(tensors, crc32), classifier }),
  );
}

/**
 * @throws CheckpointError when the file is damaged or none of a classifier
 * @throws UserError when it can't be read now
 */
export async function readClassifier(path: string): Promise<ClassifierFile> {
  return classifierOf(await withSource(path, readSafetensors), path);
}

/** The same of a file that is read. */
export function classifierOf({ tensors, metadata }: SafetensorsFile, path: string): ClassifierFile {
  if (metadata.classifier === undefined || metadata.crc32 === undefined)
    throw new CheckpointError(
      `${path} holds no classifier; moco lincls and moco finetune write them as best.safetensors`,
    );
  if (checksum(tensors, crc32) !== metadata.crc32)
    throw new CheckpointError(`${path} is damaged: its bytes do not fit its checksum`);
  return { path, info: storedClassifier(metadata.classifier, path) as ClassifierInfo, tensors };
}

/**
 * The accuracy of a folder's `best.safetensors`, for a run that resumes its `latest.safetensors`: a kill, or
 * the user, may have removed it. If the latest is the best, it is written again.
 * @returns percent, -1 where there is none
 */
export async function bestOf(folder: string, { info, tensors }: ClassifierFile): Promise<number> {
  const path = join(folder, 'best.safetensors');
  const there = (await entryIfThere(path)) !== undefined;
  const best = there ? await readClassifier(path).catch(undefinedIfDamaged) : undefined;
  if (best?.info.bestAcc1 === info.bestAcc1 || info.acc1 < info.bestAcc1) return best?.info.acc1 ?? -1;
  const { moco: _, ...rest } = info;
  await saveClassifier(path, rest, tensors);
  return info.acc1;
}
