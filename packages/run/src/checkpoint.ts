/**
 * The bytes of checkpoints. One safetensors file holds the tensors and, in its metadata, the JSON that belongs to them:
 * position, configuration, meters. So a save has one commit point, and there is no moment at which tensors and JSON of
 * different steps lie side by side.
 */
import {
  CheckpointError,
  decodeSafetensors,
  encodeSafetensors,
  type SafetensorsFile,
  safetensorsParts,
  type Tensor,
} from '@moco-ts/core';
import type { Position, TimeRecord } from './course.ts';
import { type Crc32, crc32 as portable } from './crc32.ts';
import type { MeterStates } from './meters.ts';
import { storedInfo } from './stored.ts';
import { currentNames } from './stored-names.ts';
import type { RunConfig } from './table.ts';

/** The metadata beside the tensors. */
export interface CheckpointInfo extends Position {
  readonly config: RunConfig;
  /** The images of the data set. */
  readonly images: number;
  /** The newest losses, the last one last. */
  readonly losses: readonly number[];
  /** In mid-epoch: the epoch's means so far. */
  readonly meters?: MeterStates;
  /** Of a run with `time`. */
  readonly time?: TimeRecord;
  readonly commit?: string;
  /** R, where several replicas shared each batch. */
  readonly replicas?: number;
  /** The version of the program. */
  readonly moco: string;
}

export interface Checkpoint {
  readonly path: string;
  readonly info: CheckpointInfo;
  readonly tensors: Record<string, Tensor>;
}

/** `checkpoint-0003` after three epochs, `checkpoint-0003-00017` 17 steps later. */
export function checkpointName({ epoch, step }: Position): string {
  const within = step > 0 ? `-${String(step).padStart(5, '0')}` : '';
  return `checkpoint-${String(epoch).padStart(4, '0')}${within}.safetensors`;
}

/** The bytes of a checkpoint. @param crc32 a faster implementation, if there is one */
export const encodeCheckpoint = (
  info: CheckpointInfo,
  tensors: Readonly<Record<string, Tensor>>,
  crc32: Crc32 = portable,
): Uint8Array => encodeSafetensors(tensors, metadataOf(info, tensors, crc32));

/** The same bytes in parts, without a copy of the tensors: a checkpoint may be larger than an array can be. */
export const checkpointParts = (
  info: CheckpointInfo,
  tensors: Readonly<Record<string, Tensor>>,
  crc32: Crc32 = portable,
): Uint8Array[] => safetensorsParts(tensors, metadataOf(info, tensors, crc32));

function metadataOf(info: CheckpointInfo, tensors: Readonly<Record<string, Tensor>>, crc32: Crc32) {
  const moco = JSON.stringify(info);
  return { format: 'moco-ts', crc32: checksum(tensors, crc32), moco, mocoCrc32: hexadecimal(crc32(moco)) };
}

/** zlib counts in 32 bits. */
const summedAtOnce = 2 ** 30;

/** Of all names and bytes: the format itself would not notice a flipped bit. */
export function checksum(tensors: Readonly<Record<string, Tensor>>, crc32: Crc32 = portable): string {
  let sum = 0;
  for (const [name, { data }] of Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1))) {
    sum = crc32(name, sum);
    for (let at = 0; at < data.byteLength; at += summedAtOnce) {
      const length = Math.min(summedAtOnce, data.byteLength - at);
      sum = crc32(new Uint8Array(data.buffer, data.byteOffset + at, length), sum);
    }
  }
  return hexadecimal(sum);
}

/** A checksum as text. */
export const hexadecimal = (sum: number) => sum.toString(16).padStart(8, '0');

/**
 * @param path of the file, for messages
 * @throws CheckpointError when the bytes are damaged or none of this program's, UserError for settings that no run has
 */
export function decodeCheckpoint(bytes: Uint8Array, path: string, crc32: Crc32 = portable): Checkpoint {
  return checkpointOf(decodeSafetensors(bytes, path), path, crc32);
}

/**
 * What a safetensors file is as a checkpoint.
 * @param path of the file, for messages
 * @throws CheckpointError when it is damaged or none of this program's
 */
export function checkpointOf(
  { tensors, metadata }: SafetensorsFile,
  path: string,
  crc32: Crc32 = portable,
): Checkpoint {
  if (metadata.moco === undefined || metadata.crc32 === undefined)
    throw new CheckpointError(`${path} is a safetensors file, but no checkpoint of moco pretrain`);
  if (checksum(tensors, crc32) !== metadata.crc32)
    throw new CheckpointError(`${path} is damaged: its bytes do not fit its checksum`);
  const { moco, mocoCrc32 } = metadata;
  // Version 0.1 wrote no checksum of the settings.
  const intact = mocoCrc32 === undefined || mocoCrc32 === hexadecimal(crc32(moco));
  const info = intact ? parsed(moco) : undefined;
  if (info === undefined) throw new CheckpointError(`${path} is damaged: its settings can't be read`);
  return { path, info: storedInfo(info, path), tensors };
}

function parsed(text: string): unknown {
  try {
    return currentNames(JSON.parse(text));
  } catch {
    return undefined;
  }
}
