import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '@moco-ts/core';
import { type ImageDataset, MissingSplit, type Split } from '../dataset.ts';
import { ifMissing, patiently } from '../machine.ts';
import { rawDataset } from './raw.ts';

const SIDE = 32;
const PIXELS = 3 * SIDE * SIDE;
/** Thirteen times the true sets. */
const MOST_BYTES = 2 ** 31 - 1;

interface Variant {
  readonly name: string;
  readonly folder: string;
  readonly files: Record<Split, readonly string[]>;
  /** Bytes before the pixels of a record; the last of them is the label. */
  readonly labelBytes: number;
  readonly namesFile: string;
  readonly classes: number;
}

// The binary versions (Krizhevsky's CIFAR page): records of label bytes, then 1024 red, 1024 green, 1024 blue.
// CIFAR-100 has a coarse label before the fine one.
const VARIANTS: readonly Variant[] = [
  {
    name: 'cifar10',
    folder: 'cifar-10-batches-bin',
    files: { train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), test: ['test_batch.bin'] },
    labelBytes: 1,
    namesFile: 'batches.meta.txt',
    classes: 10,
  },
  {
    name: 'cifar100',
    folder: 'cifar-100-binary',
    files: { train: ['train.bin'], test: ['test.bin'] },
    labelBytes: 2,
    namesFile: 'fine_label_names.txt',
    classes: 100,
  },
];

/**
 * CIFAR-10 or CIFAR-100 in the binary version; the folder itself, or the one that holds the unpacked archive.
 * @returns undefined if the folder holds neither
 * @throws DataError if a file is missing or damaged
 */
export async function openCifar(folder: string, split: Split): Promise<ImageDataset | undefined> {
  for (const variant of VARIANTS) {
    for (const root of [folder, join(folder, variant.folder)]) {
      const names = await readdir(root).catch(() => [] as string[]);
      const all = [...variant.files.train, ...variant.files.test];
      if (all.some((name) => names.includes(name))) return read(variant, root, folder, split);
    }
  }
  return undefined;
}

async function read(variant: Variant, root: string, folder: string, split: Split): Promise<ImageDataset> {
  const record = variant.labelBytes + PIXELS;
  const paths = variant.files[split].map((name) => join(root, name));
  let length = 0;
  for (const path of paths) {
    const info = await patiently(path, () => stat(path)).catch(ifMissing);
    const size = info?.isFile() ? info.size : undefined;
    if (size === undefined) {
      const Kind = split === 'test' ? MissingSplit : DataError;
      throw new Kind(`${path}: missing; the ${split} split of ${variant.name} needs it`);
    }
    if (size === 0 || size % record !== 0) {
      const reason = `${size} bytes are no multiple of a record's ${record}`;
      throw new DataError(`${path}: truncated: ${reason} (${Math.floor(size / record)} whole images)`);
    }
    length += size / record;
  }
  if (length * record > MOST_BYTES)
    throw new DataError(`${paths[0]}: ${length} images, more than are held in memory`);
  const bytes = new SharedArrayBuffer(length * PIXELS);
  const pixels = new Uint8Array(bytes);
  const labels = new Uint8Array(length);
  let index = 0;
  for (const path of paths) {
    const file = await readFile(path);
    for (let at = 0; at < file.length; at += record, index++) {
      const label = file[at + variant.labelBytes - 1]!;
      if (label >= variant.classes) {
        throw new DataError(
          `${path}: label ${label} in record ${at / record}; ${variant.name} has ${variant.classes}`,
        );
      }
      labels[index] = label;
      pixels.set(file.subarray(at + variant.labelBytes, at + record), index * PIXELS);
    }
  }
  const namesFile = join(root, variant.namesFile);
  const isFile = (await stat(namesFile).catch(() => undefined))?.isFile();
  const text = isFile ? await readFile(namesFile, 'utf8') : '';
  const named = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  const classes =
    named.length === variant.classes ? named : Array.from({ length: variant.classes }, (_, i) => String(i));
  const raw = { bytes, length, width: SIDE, height: SIDE, channels: 3 as const };
  return rawDataset(variant.name, split, folder, raw, labels, classes);
}
