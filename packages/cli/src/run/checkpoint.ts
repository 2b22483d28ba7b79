/** Checkpoints in folders. `latest.json` is for people and scripts; nothing here reads it. */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { CheckpointError, type Tensor, UserError } from '@moco-ts/core';
import {
  type Checkpoint,
  type CheckpointInfo,
  checkpointName,
  decodeCheckpoint,
  encodeCheckpoint,
  type Position,
} from '@moco-ts/run';
import { writeAtomic } from './files.ts';
import { version } from './versions.ts';

const PATTERN = /^checkpoint-(\d+)(?:-(\d+))?\.safetensors$/;

/** The checkpoints of a run folder by name, the newest first. */
export async function listCheckpoints(folder: string): Promise<string[]> {
  const order = (name: string) => {
    const [, epoch, step = 0] = PATTERN.exec(name)!;
    return [Number(epoch), Number(step)] as const;
  };
  return (await readdir(folder).catch(() => []))
    .filter((name) => PATTERN.test(name))
    .map((name) => ({ name, at: order(name) }))
    .sort((a, b) => b.at[0] - a.at[0] || b.at[1] - a.at[1])
    .map(({ name }) => name);
}

/** The bytes of a checkpoint by this version. */
export const checkpointBytes = (
  info: Omit<CheckpointInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
) => encodeCheckpoint({ ...info, moco: version }, tensors, crc32);

/**
 * Saves, then removes all but the newest checkpoints.
 * @param keep how many, this one among them
 * @returns the path
 * @throws UserError when the disk refuses; earlier checkpoints are untouched then
 */
export async function saveCheckpoint(
  folder: string,
  info: Omit<CheckpointInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
  keep: number = info.config.keep,
): Promise<string> {
  const name = checkpointName(info);
  const path = join(folder, name);
  const bytes = checkpointBytes(info, tensors);
  const before = (await listCheckpoints(folder))[0];
  try {
    await mkdir(folder, { recursive: true });
    await writeAtomic(path, bytes);
    await writeLatest(folder, name, info);
  } catch (error) {
    const kept = before
      ? `; ${before} is intact: free some space, then moco pretrain --resume ${folder}`
      : '';
    throw new UserError(`${(error as Error).message}${kept}`);
  }
  await removeOld(folder, name, keep);
  return path;
}

function writeLatest(folder: string, file: string, { epoch, step, globalStep }: Position): Promise<void> {
  return writeAtomic(join(folder, 'latest.json'), `${JSON.stringify({ file, epoch, step, globalStep })}\n`);
}

/** Removes all but a checkpoint and the newest others, `keep` in all. */
export async function removeOld(folder: string, name: string, keep: number): Promise<void> {
  const old = (await listCheckpoints(folder)).filter((other) => other !== name).slice(keep - 1);
  for (const other of old) await rm(join(folder, other), { force: true });
}

/**
 * Renames the newest checkpoint, one that leads nowhere, to `*.diverged`.
 * @returns the path of the one before, if there is any
 */
export async function setDivergedAside(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  await rename(path, `${path}.diverged`);
  const [before] = await listCheckpoints(folder);
  if (before === undefined) await rm(join(folder, 'latest.json'), { force: true });
  else await writeLatest(folder, before, (await readCheckpoint(join(folder, before))).info);
  return before && join(folder, before);
}

/** @throws CheckpointError when the file is missing, damaged or none of this program's */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new CheckpointError(`${path} could not be read: ${error.message}`);
  });
  return decodeCheckpoint(bytes, path, crc32);
}

/**
 * Opens a checkpoint by its path, or the newest intact one of a run folder.
 * @param warn told of each damaged checkpoint that was passed over
 * @param setAside rename those to `*.damaged`, so that a run that goes on does not meet them again
 * @throws CheckpointError when there is none
 */
export async function openCheckpoint(
  path: string,
  warn: (message: string) => void,
  setAside = false,
): Promise<Checkpoint> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) throw new CheckpointError(`${path}: no such checkpoint or run folder`);
  if (!entry.isDirectory()) return readCheckpoint(path);
  const names = await listCheckpoints(path);
  if (names.length === 0) throw new CheckpointError(`${path} holds no checkpoint`);
  for (const name of names) {
    try {
      return await readCheckpoint(join(path, name));
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      warn(`${error.message}; going back to the one before`);
      if (setAside) await rename(join(path, name), join(path, `${name}.damaged`));
    }
  }
  throw new CheckpointError(`none of the ${names.length} checkpoints in ${path} is intact`);
}

/** @throws UserError for a checkpoint that is not its folder's newest: going on would mix two histories. */
export async function checkNewest(path: string): Promise<void> {
  const [newest] = await listCheckpoints(dirname(path));
  if (newest !== undefined && newest !== basename(path))
    throw new UserError(
      `${dirname(path)} goes on after ${basename(path)}, to ${newest}; resume that, or branch off with --out`,
    );
}
