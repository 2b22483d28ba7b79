/** Tensors by name, from any file format: shapes at once, values on demand. */
import type { Params } from '@moco-ts/core';
import { stateDict } from './layout.ts';
import type { TorchFile } from './torch-file.ts';

export interface TensorFile {
  /** For messages. */
  readonly name: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** What `moco convert` wrote beside the tensors. */
  readonly about?: string;
  /** @throws CheckpointError for damage, and types that are not read */
  read(names: readonly string[]): Promise<Params>;
}

/** The state dict of a file of torch.save. @throws CheckpointError when it has none */
export function torchTensors(file: TorchFile): TensorFile {
  const { tensors, about } = stateDict(file.value, file.name);
  return {
    name: file.name,
    ...(about !== undefined && { about }),
    shapes: Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape])),
    read: async (names) =>
      Object.fromEntries(await file.read(new Map(names.map((name) => [name, tensors.get(name)!])))),
  };
}

/** Tensors that are in memory, such as those of a safetensors file. */
export function loadedTensors(name: string, tensors: Readonly<Params>, about?: string): TensorFile {
  return {
    name,
    ...(about !== undefined && { about }),
    shapes: Object.fromEntries(Object.entries(tensors).map(([key, { shape }]) => [key, shape])),
    read: async (names) => Object.fromEntries(names.map((key) => [key, tensors[key]!])),
  };
}
