/** What is fuzzed: readers of files that come from strangers or bad disks. A new format adds itself to the list. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decodeSafetensors,
  encodeSafetensors,
  type Params,
  type Rng,
  rng,
  type Tensor,
  UserError,
} from '@moco-ts/core';
import { bytesSource, encodeTorch, findEncoder, readTorch, torchTensors } from '@moco-ts/exchange';
import { checkpointFile, readCheckpoint } from '@moco-ts/node';
import { resolveConfig } from '@moco-ts/run';
import { openVectors } from '../vectors/file.ts';
import { npyHeader } from '../vectors/npy.ts';
import { writeParquet } from '../vectors/parquet.ts';
import { mutate } from './mutate.ts';

export interface FuzzTarget {
  readonly name: string;
  readonly corpus: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** Default: damages anywhere in the file. */
  readonly mutate?: (bytes: Uint8Array, random: Rng) => Uint8Array | Promise<Uint8Array>;
  /** What stands in a file. @throws UserError; anything else is a defect */
  readonly read: (bytes: Uint8Array) => Promise<Params>;
  /** The format has checksums: what is read must be what was written. */
  readonly checked: boolean;
  dispose?(): void;
}

const random = (purpose: string, size: number) => {
  const stream = rng(0, `fuzz/corpus/${purpose}`);
  return Float32Array.from({ length: size }, () => stream.uniform(-1, 1));
};

const tensors: Readonly<Record<string, Tensor>> = {
  'q.conv1.weight': { shape: [4, 3, 3, 3], dtype: 'float32', data: random('a', 108) },
  'q.bn1.bias': { shape: [4], dtype: 'float32', data: random('b', 4) },
  queue: { shape: [4, 8], dtype: 'float32', data: random('c', 32) },
  queue_ptr: { shape: [], dtype: 'int32', data: Int32Array.of(6) },
  flags: { shape: [3], dtype: 'bool', data: Uint8Array.of(1, 0, 1) },
};

/** Every tensor that a file of torch.save holds where a state dict is expected. */
async function readTorchFile(bytes: Uint8Array): Promise<Params> {
  const file = torchTensors(await readTorch(bytesSource('fuzz.pth', bytes)));
  const names = Object.keys(file.shapes);
  await refusedOr(findEncoder(file));
  const all = await refusedOr(file.read(names));
  if (all) return all;
  // Some types are not read; the others should be.
  const each = await Promise.all(names.map((name) => refusedOr(file.read([name]))));
  return Object.assign({}, ...each.filter((read) => read !== undefined)) as Params;
}

/** Undefined for what a reader refuses. */
function refusedOr<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error: unknown) => {
    if (error instanceof UserError) return undefined;
    throw error;
  });
}

/** @param folder with files of PyTorch: parity/fixtures/exchange; beside it are those of other programs' vectors */
export async function fuzzTargets(folder: string): Promise<FuzzTarget[]> {
  const files = readdirSync(folder)
    .filter((name) => /\.pth(\.tar)?$/.test(name))
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) }));
  const legacy = files.filter(({ bytes }) => bytes[0] === 0x80);
  const own = { name: 'own.pth', bytes: await encodeTorch({ epoch: 3, state_dict: tensors }) };
  return [
    {
      name: 'torch-zip',
      corpus: [...files.filter(({ bytes }) => bytes[0] === 0x50), own],
      read: readTorchFile,
      checked: true,
    },
    { name: 'torch-legacy', corpus: legacy, read: readTorchFile, checked: false },
    {
      // Behind intact checksums, as an attacker would make them: a pickle with damage to its opcodes alone.
      name: 'torch-pickle',
      corpus: legacy,
      mutate: (bytes, stream) => damagedFront(bytes, stream),
      read: readTorchFile,
      checked: false,
    },
    {
      name: 'safetensors',
      corpus: [{ name: 'own.safetensors', bytes: encodeSafetensors(tensors, { made: 'for the fuzz' }) }],
      read: async (bytes) => decodeSafetensors(bytes, 'fuzz.safetensors').tensors,
      checked: false,
    },
    checkpointTarget(),
    await vectorsTarget('.npy'),
    await vectorsTarget('.parquet', join(folder, '..', 'vectors')),
  ];
}

/** The pickles of a legacy file stand in front of its numbers. */
function damagedFront(bytes: Uint8Array, stream: Rng): Uint8Array {
  const front = Math.min(bytes.length, 1000);
  const damaged = mutate(bytes.subarray(0, front), stream);
  const out = new Uint8Array(damaged.length + bytes.length - front);
  out.set(damaged);
  out.set(bytes.subarray(front), damaged.length);
  return out;
}

function checkpointTarget(): FuzzTarget {
  const folder = mkdtempSync(join(tmpdir(), 'moco-fuzz-'));
  const path = join(folder, 'checkpoint-0003.safetensors');
  const config = resolveConfig({ data: 'photos' }, { source: { data: 'photos', split: 'train' } });
  const info = { epoch: 3, step: 0, globalStep: 30, config, images: 5, losses: [1.5] };
  return {
    name: 'checkpoint',
    corpus: [{ name: 'own checkpoint', bytes: new Uint8Array(Buffer.concat(checkpointFile(info, tensors))) }],
    read: async (bytes) => {
      writeFileSync(path, bytes);
      const { info, tensors: read } = await readCheckpoint(path);
      const data = new TextEncoder().encode(JSON.stringify(info));
      return { ...read, settings: { shape: [data.length], dtype: 'uint8', data } };
    },
    checked: true,
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const [rows, dim] = [9, 4];

/** Files of vectors: our own, and those of a folder of other programs'. */
async function vectorsTarget(format: '.npy' | '.parquet', others?: string): Promise<FuzzTarget> {
  const folder = mkdtempSync(join(tmpdir(), 'moco-fuzz-'));
  const path = join(folder, `vectors${format}`);
  const ids = Array.from({ length: rows }, (_, i) => `p/${i}.png`);
  const vectors = random('vectors', rows * dim);
  let own: Uint8Array;
  if (format === '.npy') {
    // The ids are JSON, which is not at risk; the values are.
    writeFileSync(join(folder, 'vectors.ids.json'), JSON.stringify({ ids }));
    own = Buffer.concat([npyHeader(rows, dim), new Uint8Array(vectors.buffer)]);
  } else {
    const info = {
      moco: '0',
      model: 'm',
      encoder: 'e',
      data: { data: 'd', split: 'train' },
      unit: true,
    } as const;
    await writeParquet(path, one({ ids, vectors }), dim, info);
    own = new Uint8Array(readFileSync(path));
  }
  const names = others === undefined ? [] : readdirSync(others).filter((name) => name.endsWith(format));
  return {
    name: format.slice(1),
    corpus: [
      { name: `own${format}`, bytes: new Uint8Array(own) },
      ...names.map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(others!, name))) })),
    ],
    read: async (bytes) => {
      writeFileSync(path, bytes);
      const file = await openVectors(path);
      const text = new TextEncoder().encode(JSON.stringify([await file.ids(), file.info ?? null]));
      return {
        vectors: { shape: [file.rows, file.dim], dtype: 'float32', data: await file.vectors() },
        ids: { shape: [text.length], dtype: 'uint8', data: text },
      };
    },
    checked: false,
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
