/**
 * Checkpoints. One safetensors file holds the tensors and, in its metadata, the JSON that belongs to them: position,
 * configuration, meters. So a save has one commit point, the rename of that file, and there is no moment at which
 * tensors and JSON of different steps lie side by side. `latest.json` is for people and scripts; nothing here reads it.
 */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { CheckpointError, decodeSafetensors, encodeSafetensors, type Tensor, UserError } from '@moco-ts/core';
import type { RunConfig } from './config.ts';
import { writeAtomic } from './files.ts';
import type { MeterStates } from './meters.ts';
import { version } from './versions.ts';

/** Where a run stands: the next step to take. */
export interface Position {
  /** From 0. */
  readonly epoch: number;
  /** Steps of that epoch that are done. */
  readonly step: number;
  /** Steps of the whole run that are done. */
  readonly globalStep: number;
}

/** What lies beside the tensors. */
export interface CheckpointInfo extends Position {
  readonly config: RunConfig;
  /** The pictures of the data set. */
  readonly pictures: number;
  /** The newest losses, the last one last. */
  readonly losses: readonly number[];
  /** In mid-epoch: the epoch's means so far. */
  readonly meters?: MeterStates;
  readonly commit?: string;
  readonly moco: string;
}

export interface Checkpoint {
  readonly path: string;
  readonly info: CheckpointInfo;
  readonly tensors: Record<string, Tensor>;
}

const PATTERN = /^checkpoint-(\d+)(?:-(\d+))?\.safetensors$/;

/** `checkpoint-0003` after three epochs, `checkpoint-0003-00017` 17 steps later. */
export function checkpointName({ epoch, step }: Position): string {
  const within = step > 0 ? `-${String(step).padStart(5, '0')}` : '';
  return `checkpoint-${String(epoch).padStart(4, '0')}${within}.safetensors`;
}

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

/** The bytes of a checkpoint. */
export function encodeCheckpoint(
  info: Omit<CheckpointInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
): Uint8Array {
  const moco = JSON.stringify({ ...info, moco: version });
  return encodeSafetensors(tensors, {
    format: 'moco-ts',
    crc32: checksum(tensors),
    moco,
    mocoCrc32: hexadecimal(crc32(moco)),
  });
}

/**
 * Saves, then removes all but the newest `config.keep` checkpoints.
 * @returns the path
 * @throws UserError when the disk refuses; earlier checkpoints are untouched then
 */
export async function saveCheckpoint(
  folder: string,
  info: Omit<CheckpointInfo, 'moco'>,
  tensors: Readonly<Record<string, Tensor>>,
): Promise<string> {
  const name = checkpointName(info);
  const path = join(folder, name);
  const bytes = encodeCheckpoint(info, tensors);
  const before = (await listCheckpoints(folder))[0];
  try {
    await mkdir(folder, { recursive: true });
    await writeAtomic(path, bytes);
    const { epoch, step, globalStep } = info;
    await writeAtomic(
      join(folder, 'latest.json'),
      `${JSON.stringify({ file: name, epoch, step, globalStep })}\n`,
    );
  } catch (error) {
    const kept = before
      ? `; ${before} is intact: free some space, then moco pretrain --resume ${folder}`
      : '';
    throw new UserError(`${(error as Error).message}${kept}`);
  }
  const old = (await listCheckpoints(folder)).filter((other) => other !== name).slice(info.config.keep - 1);
  for (const other of old) await rm(join(folder, other), { force: true });
  return path;
}

/** Of all names and bytes: the format itself would not notice a flipped bit. */
export function checksum(tensors: Readonly<Record<string, Tensor>>): string {
  let sum = 0;
  for (const [name, { data }] of Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1))) {
    sum = crc32(name, sum);
    sum = crc32(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), sum);
  }
  return hexadecimal(sum);
}

export const hexadecimal = (sum: number) => sum.toString(16).padStart(8, '0');

/** @throws CheckpointError when the file is missing, damaged or none of this program's */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readFile(path).catch((error: Error) => {
    throw new CheckpointError(`${path} could not be read: ${error.message}`);
  });
  const { tensors, metadata } = decodeSafetensors(bytes, path);
  if (metadata.moco === undefined || metadata.crc32 === undefined)
    throw new CheckpointError(`${path} is a safetensors file, but no checkpoint of moco pretrain`);
  if (checksum(tensors) !== metadata.crc32)
    throw new CheckpointError(`${path} is damaged: its bytes do not fit its checksum`);
  return { path, info: readInfo(path, metadata.moco, metadata.mocoCrc32), tensors };
}

/** @param sum its checksum; version 0.1 wrote none */
function readInfo(path: string, text: string, sum: string | undefined): CheckpointInfo {
  const damaged = new CheckpointError(`${path} is damaged: its settings can't be read`);
  if (sum !== undefined && sum !== hexadecimal(crc32(text))) throw damaged;
  let info: unknown;
  try {
    info = JSON.parse(text);
  } catch {
    throw damaged;
  }
  if (!isInfo(info)) throw damaged;
  return info;
}

function isInfo(value: unknown): value is CheckpointInfo {
  const { config, losses, ...position } = (value ?? {}) as Partial<CheckpointInfo>;
  const natural = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
  return (
    [position.epoch, position.step, position.globalStep].every(natural) &&
    Array.isArray(losses) &&
    typeof config === 'object' &&
    config !== null &&
    [config.arch, config.method].every((name) => typeof name === 'string') &&
    natural(config.imageSize)
  );
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
