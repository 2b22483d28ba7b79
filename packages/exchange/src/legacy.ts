/** The format of torch.save before PyTorch 1.6: five pickles, then each storage as a count and its elements. */
import { CheckpointError, printable } from '@moco-ts/core';
import { widthOf } from './dtypes.ts';
import { PickleError } from './pickle-reader.ts';
import { type ByteSource, readExactly } from './source.ts';
import {
  maxPickle,
  pickleFailure,
  readPickle,
  readTensors,
  storageHost,
  type TorchFile,
} from './torch-file.ts';
import type { Storage, Value } from './values.ts';

const magic = 0x1950a86a20f9469cfc6cn;
const protocol = 1001;

interface Pickles {
  readonly value: Value;
  /** Where the elements begin. */
  readonly end: number;
  /** The keys of the storages, in the order of the file. */
  readonly keys: Value;
  readonly storages: ReadonlyMap<string, Storage>;
}

function readPickles(bytes: Uint8Array, file: string): Pickles {
  let end = 0;
  const next = (host = storageHost(true)): Value => {
    const read = readPickle(bytes, end, host, file);
    end = read.end;
    return read.value;
  };
  if (next() !== magic)
    throw new CheckpointError(`${file} is a pickle, but not of torch.save: save a state dict by torch.save`);
  const number = next();
  if (number !== protocol)
    throw new CheckpointError(`${file} has a protocol that is unknown, not ${protocol}`);
  const system = next();
  if (!(system instanceof Map) || system.get('little_endian') !== true)
    throw new CheckpointError(`${file} was saved on a big-endian machine, which is not read here`);
  const host = storageHost(true);
  const value = next(host);
  const keys = next();
  return { value, keys, end, storages: host.storages };
}

/** Reads as much of a file as its pickles need. */
async function readFront(source: ByteSource): Promise<Pickles> {
  for (let size = 2 ** 20; ; size *= 8) {
    const length = Math.min(size, source.size, maxPickle);
    try {
      return readPickles(await readExactly(source, 0, length), source.name);
    } catch (error) {
      if (!(error instanceof PickleError)) throw error;
      if (length === source.size) throw pickleFailure(error, source.name);
      if (length === maxPickle)
        throw new CheckpointError(
          `${source.name} holds a pickle of more than ${maxPickle / 2 ** 20} MB beside its tensors`,
        );
    }
  }
}

/** Where each storage's elements lie, in bytes. */
async function locate(source: ByteSource, { keys, end, storages }: Pickles): Promise<Map<string, number>> {
  const fail = (why: string) =>
    new CheckpointError(`${source.name} is no readable file of torch.save: ${why}`);
  if (!Array.isArray(keys)) throw fail('the list of its storages is none');
  const places = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (storage === undefined || places.has(storage.key))
      throw fail('the list of its storages names one that no tensor has, or one twice');
    const count = await readExactly(source, at, 8);
    const elements = new DataView(count.buffer, count.byteOffset, 8).getBigInt64(0, true);
    if (elements !== BigInt(storage.elements))
      throw fail(`the storage ${printable(storage.key)} has ${elements} elements, not ${storage.elements}`);
    places.set(storage.key, at + 8);
    at += 8 + storage.elements * widthOf(storage.dtype);
    if (at > source.size) throw new CheckpointError(`${source.name} is cut off`);
  }
  for (const key of storages.keys())
    if (!places.has(key)) throw fail(`the storage ${printable(key)} is missing`);
  return places;
}

/** @throws CheckpointError */
export async function readLegacy(source: ByteSource): Promise<TorchFile> {
  const pickles = await readFront(source);
  const places = await locate(source, pickles);
  const fetch = ({ key }: Storage) => {
    const { elements, dtype } = pickles.storages.get(key)!;
    return readExactly(source, places.get(key)!, elements * widthOf(dtype));
  };
  return {
    name: source.name,
    format: 'legacy',
    value: pickles.value,
    read: (tensors) => readTensors(source.name, tensors, fetch),
  };
}
