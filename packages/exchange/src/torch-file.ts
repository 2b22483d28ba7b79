/** What both formats of torch.save have in common. */
import { CheckpointError, printable, sizeOf, type Tensor } from '@moco-ts/core';
import { gather, widthOf } from './dtypes.ts';
import { plainGlobal } from './globals.ts';
import { type Unpickled, unpickle } from './pickle.ts';
import type { PickleHost } from './pickle-machine.ts';
import { PickleError, RefusedError } from './pickle-reader.ts';
import { isKind, type Storage, type TensorRef, type Value } from './values.ts';

/** A file of torch.save: its containers are read, its tensors when they are asked for. */
export interface TorchFile {
  readonly name: string;
  readonly format: 'zip' | 'legacy';
  readonly value: Value;
  /**
   * Reads tensors: floats become float32, integers int32 where they fit, and bytes and booleans stay.
   * @throws CheckpointError when a storage is damaged, a type is not read here, or views repeat a storage too often
   */
  read(tensors: ReadonlyMap<string, TensorRef>): Promise<Map<string, Tensor>>;
}

/** The largest pickle that is read; tensors are no part of it. */
export const maxPickle = 64 * 2 ** 20;

/** Elements that may come from nothing: views that repeat their storage, in all tensors of a file together. */
const freeElements = 2 ** 22;

/** Collects the storages that a pickle names. */
export interface StorageHost extends PickleHost {
  readonly storages: ReadonlyMap<string, Storage>;
}

/** ('storage', type, key, location, elements), in legacy files with a view at the end. */
export function storageHost(legacy: boolean): StorageHost {
  const storages = new Map<string, Storage>();
  return {
    storages,
    global: plainGlobal,
    persistent: (id) => {
      const items = isKind(id, 'tuple') ? id.items : [];
      const [what, type, key, , elements, part = null] = items;
      if (what === 'module') throw new RefusedError('a module saved with its source');
      const natural = Number.isSafeInteger(elements) && (elements as number) >= 0;
      if (what !== 'storage' || !isKind(type, 'storage-type') || typeof key !== 'string' || !natural)
        throw new PickleError('a storage is malformed');
      const storage: Storage = {
        kind: 'storage',
        key,
        dtype: type.dtype,
        elements: elements as number,
        start: 0,
      };
      const known = storages.get(key);
      if (known !== undefined && (known.dtype !== storage.dtype || known.elements !== storage.elements))
        throw new PickleError(`the storage ${printable(key)} is described in two ways`);
      if (known === undefined) storages.set(key, storage);
      return legacy && part !== null ? partOf(storage, part) : (known ?? storage);
    },
  };
}

/** (key, first element, elements): a storage that is a part of another. */
function partOf(root: Storage, part: Value): Storage {
  const [, start, elements] = isKind(part, 'tuple') ? part.items : [];
  const fits =
    Number.isSafeInteger(start) &&
    Number.isSafeInteger(elements) &&
    (start as number) >= 0 &&
    (elements as number) >= 0 &&
    (start as number) + (elements as number) <= root.elements;
  if (!fits) throw new PickleError('a part of a storage is malformed');
  return { ...root, start: start as number, elements: elements as number };
}

/** @throws CheckpointError, or PickleError when the bytes end too early */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  host: PickleHost,
  file: string,
  within = '',
): Unpickled {
  try {
    return unpickle(bytes, start, host);
  } catch (error) {
    if (!(error instanceof PickleError) || error.cutOff) throw error;
    throw pickleFailure(error, file, within);
  }
}

/** One line for what was wrong with a pickle. */
export function pickleFailure(error: PickleError, file: string, within = ''): CheckpointError {
  if (!(error instanceof RefusedError))
    return new CheckpointError(`${file} is no readable file of torch.save: ${error.message}`);
  const hint = error.what.startsWith('numpy.')
    ? '; NumPy values stand beside its tensors: save the state dict alone, torch.save(checkpoint["state_dict"], "weights.pth")'
    : '';
  return new CheckpointError(
    `${file}: ${error.message}${within}: only tensors and plain containers are read${hint}`,
  );
}

/**
 * Reads tensors, each storage once.
 * @param fetch the bytes of a storage
 */
export async function readTensors(
  file: string,
  tensors: ReadonlyMap<string, TensorRef>,
  fetch: (storage: Storage) => Promise<Uint8Array>,
): Promise<Map<string, Tensor>> {
  const byStorage = new Map<string, [name: string, tensor: TensorRef][]>();
  for (const entry of tensors) {
    const { key } = entry[1].storage;
    const group = byStorage.get(key);
    if (group) group.push(entry);
    else byStorage.set(key, [entry]);
  }
  checkRepetition(file, byStorage);
  const read = new Map<string, Tensor>([...tensors.keys()].map((name) => [name, none]));
  for (const group of byStorage.values()) {
    const bytes = await fetch(group[0]![1].storage);
    for (const [name, { dtype, storage, offset, shape, strides }] of group) {
      try {
        const start = offset + (storage.start * widthOf(storage.dtype)) / widthOf(dtype);
        read.set(name, { shape, ...gather(bytes, dtype, start, shape, strides) });
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        throw new CheckpointError(`${file}: "${printable(name)}" ${error.message}, which is not read here`);
      }
    }
  }
  return read;
}

/** Keeps the place of a tensor, so that they come in the order of the file. */
const none: Tensor = { shape: [0], dtype: 'float32', data: new Float32Array(0) };

/**
 * Small files could ask for any amount of memory by views with a stride of 0, or many views of one storage. Two of each
 * element are allowed (tied weights), and a few more.
 */
function checkRepetition(file: string, groups: ReadonlyMap<string, [string, TensorRef][]>): void {
  let free = freeElements;
  for (const group of groups.values()) {
    let within = 0;
    for (const [name, { dtype, shape, storage }] of group) {
      const size = sizeOf(shape);
      within += size;
      const elements = (storage.elements * widthOf(storage.dtype)) / widthOf(dtype);
      if (within > 2 * elements) {
        free -= size;
        if (free < 0)
          throw new CheckpointError(
            `${file}: "${printable(name)}" repeats its storage: ${size} elements of ${elements}; save it by .clone()`,
          );
      }
    }
  }
}
