/** Checkpoints in folders. `latest.json` is for people and scripts; nothing here reads it. */
import { rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  CheckpointError,
  quoted,
  readSafetensors,
  say,
  settingRef,
  type Tensor,
  UserError,
} from '@moco-ts/core';
import {
  type Checkpoint,
  type CheckpointInfo,
  checkpointName,
  checkpointOf,
  checkpointParts,
  type Position,
} from '@moco-ts/run';
import { type Best, readBest } from './best-file.ts';
import { undefinedIfDamaged, writeAtomic } from './files.ts';
import { entryIfThere, namesIn, withSource } from './source.ts';
import { version } from './versions.ts';

const PATTERN = /^checkpoint-(\d+)(?:-(\d+))?\.safetensors$/;

/**
 * The checkpoints of a run folder by name, the newest first.
 * @throws UserError for a folder that can't be read
 */
export async function listCheckpoints(folder: string): Promise<string[]> {
  const order = (name: string) => {
    const [, epoch, step = 0] = PATTERN.exec(name)!;
    return [Number(epoch), Number(step)] as const;
  };
  return (await namesIn(folder))
    .filter((name) => PATTERN.test(name))
    .map((name) => ({ name, at: order(name) }))
    .sort((a, b) => b.at[0] - a.at[0] || b.at[1] - a.at[1])
    .map(({ name }) => name);
}

/** Whether a folder has checkpoints, even if only damaged ones: no run starts over in it. */
export async function holdsRun(folder: string): Promise<boolean> {
  return (await namesIn(folder)).some((name) => PATTERN.test(name.replace(/\.damaged$/, '')));
}

/** The bytes of a checkpoint by this version, in parts. */
export const checkpointFile = (
  info: Omit<CheckpointInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
) => checkpointParts({ ...info, moco: version }, tensors, crc32);

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
  const bytes = checkpointFile(info, tensors);
  const before = (await listCheckpoints(folder))[0];
  try {
    await writeAtomic(path, bytes);
    await writeLatest(folder, name, info);
  } catch (error) {
    const kept = before
      ? say`; ${before} is intact: free some space, then ${settingRef('resume', quoted(folder), 'moco pretrain')}`
      : '';
    throw new UserError(say`${(error as Error).message}${kept}`, { code: 'file-unwritable', cause: error });
  }
  await removeOld(folder, name, keep);
  return path;
}

function writeLatest(folder: string, file: string, { epoch, step, globalStep }: Position): Promise<void> {
  return writeAtomic(join(folder, 'latest.json'), `${JSON.stringify({ file, epoch, step, globalStep })}\n`);
}

/** Removes all but a checkpoint and the newest others, `keep` in all, and the one that the run chose. */
export async function removeOld(folder: string, name: string, keep: number): Promise<void> {
  const old = (await listCheckpoints(folder)).filter((other) => other !== name).slice(keep - 1);
  const best = old.length > 0 ? await readBest(folder) : undefined;
  for (const other of old) if (other !== best?.file) await rm(join(folder, other), { force: true });
}

/**
 * Renames the newest checkpoint, one that leads nowhere, to `*.diverged`.
 * @returns the path of the newest intact one before, if there is any
 */
export async function setDivergedAside(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  await rename(path, `${path}.diverged`);
  const before = await openCheckpoint(folder, () => undefined).catch(undefinedIfDamaged);
  if (before === undefined) await rm(join(folder, 'latest.json'), { force: true });
  else await writeLatest(folder, basename(before.path), before.info);
  return before?.path;
}

/**
 * @param atOnce the most bytes that one call of the system reads
 * @throws CheckpointError when the file is damaged or none of this program's
 * @throws UserError when it can't be read now
 */
export function readCheckpoint(path: string, atOnce?: number): Promise<Checkpoint> {
  return withSource(path, async (source) => checkpointOf(await readSafetensors(source), path, crc32), atOnce);
}

/**
 * Opens a checkpoint by its path, or the newest intact one of a run folder.
 * @param warn called for each damaged checkpoint that is skipped
 * @param setAside rename those to `*.damaged` once an intact one is found, so that the resumed run does not meet them
 * again
 * @throws CheckpointError when there is none
 * @throws UserError for one that can't be read now, of which nothing is known
 */
export async function openCheckpoint(
  path: string,
  warn: (message: string) => void,
  setAside = false,
): Promise<Checkpoint> {
  const entry = await entryIfThere(path);
  if (entry === undefined)
    throw new CheckpointError(`${path}: no such checkpoint or run folder`, { code: 'file-missing' });
  if (!entry.isDirectory()) return readCheckpoint(path);
  const names = await listCheckpoints(path);
  if (names.length === 0) throw new CheckpointError(`${path} holds no checkpoint${await whyNone(path)}`);
  const damaged: string[] = [];
  for (const name of names) {
    try {
      const checkpoint = await readCheckpoint(join(path, name));
      if (setAside)
        for (const other of damaged) await rename(join(path, other), join(path, `${other}.damaged`));
      return checkpoint;
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      warn(`${error.message}; going back to the one before`);
      damaged.push(name);
    }
  }
  throw new CheckpointError(`none of the ${names.length} checkpoints in ${path} is intact`);
}

/** Why a folder has no checkpoint, and what to do; empty where nothing tells. */
async function whyNone(folder: string): Promise<string> {
  if (await holdsRun(folder)) return ' but damaged ones (*.damaged)';
  const isBegun = (await entryIfThere(join(folder, 'config.json'))) !== undefined;
  return isBegun ? ': its run ended before the first one; the command that began it begins it again' : '';
}

/** A checkpoint that its run chose. */
export interface Chosen extends Checkpoint {
  readonly best: Best;
  /** The name of the run's newest. */
  readonly newest: string;
}

/**
 * The checkpoint that a run chose; undefined where it chose none, or none that is there and intact.
 * @param warn called for a damaged one
 */
export async function openBest(folder: string, warn: (message: string) => void): Promise<Chosen | undefined> {
  const best = await readBest(folder);
  const names = best ? await listCheckpoints(folder) : [];
  if (best === undefined || !names.includes(best.file)) return undefined;
  const checkpoint = await readCheckpoint(join(folder, best.file)).catch((error: Error) => {
    const none = undefinedIfDamaged(error);
    warn(`${error.message}; taking the newest instead`);
    return none;
  });
  return checkpoint && { ...checkpoint, best, newest: names[0]! };
}

/** @throws UserError for a checkpoint that is not its folder's newest: going on would mix two histories. */
export async function checkNewest(path: string): Promise<void> {
  const [newest] = await listCheckpoints(dirname(path));
  if (newest !== undefined && newest !== basename(path))
    throw new UserError(
      say`${dirname(path)} goes on after ${basename(path)}, to ${newest}; resume that, or branch off with ${settingRef('out')}`,
      { code: 'file-taken', setting: 'resume', value: path },
    );
}
