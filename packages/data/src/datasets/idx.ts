import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { DataError } from '@moco-ts/core';
import { type ImageDataset, MissingSplit, type Split } from '../dataset.ts';
import { rawDataset } from './raw.ts';

const unzip = promisify(gunzip);

// The idx format (LeCun's MNIST page): two zero bytes, a type (8: unsigned byte), the number of dimensions, then the
// dimensions as big-endian 32-bit integers, then the values.
const PICTURES = 0x0803;
const LABELS = 0x0801;

/**
 * An MNIST-style set: `train-images-idx3-ubyte` and `t10k-...` (or `test-...`), with or without `.gz`; labels beside
 * them if there are any. Grey is repeated to RGB.
 * @returns undefined if the folder holds no such files
 * @throws DataError if a file is damaged or the split is missing
 */
export async function openIdx(folder: string, split: Split): Promise<ImageDataset | undefined> {
  const names = await readdir(folder);
  const find = (start: string, kind: string) =>
    names.find((name) => new RegExp(`^(${start})-${kind}[-.]idx[13]-ubyte(\\.gz)?$`).test(name));
  const starts = { train: 'train', test: 't10k|test' };
  if (find('train|t10k|test', 'images') === undefined) return undefined;
  const pictures = find(starts[split], 'images');
  if (pictures === undefined) {
    const wanted = split === 'train' ? 'train' : 't10k';
    throw new MissingSplit(
      `${folder}: idx files, but no ${wanted}-images-idx3-ubyte(.gz) for the ${split} split`,
    );
  }
  const path = join(folder, pictures);
  const { sizes, values } = await readIdx(path, PICTURES);
  const [length, height, width] = sizes as [number, number, number];
  if (length * height * width === 0) throw new DataError(`${path}: holds no pictures (${sizes.join(' x ')})`);
  const bytes = new SharedArrayBuffer(values.length);
  new Uint8Array(bytes).set(values);

  const labelFile = find(starts[split], 'labels');
  let labels: Uint8Array | undefined;
  if (labelFile !== undefined) {
    const labelPath = join(folder, labelFile);
    const read = await readIdx(labelPath, LABELS);
    if (read.values.length !== length) {
      throw new DataError(
        `${labelPath}: ${read.values.length} labels for the ${length} pictures of ${pictures}`,
      );
    }
    labels = read.values;
  }
  const count = labels?.reduce((most, label) => Math.max(most, label + 1), 0) ?? 0;
  const classes = Array.from({ length: Math.max(count, 10) }, (_, i) => String(i));
  const raw = { bytes, length, width, height, channels: 1 as const };
  return rawDataset(basename(folder) || folder, split, folder, raw, labels, labels && classes);
}

async function readIdx(path: string, magic: number): Promise<{ sizes: number[]; values: Uint8Array }> {
  let bytes: Uint8Array = await readFile(path);
  if (path.endsWith('.gz')) {
    bytes = await unzip(bytes).catch((error: Error) => {
      throw new DataError(`${path}: damaged gzip file of ${bytes.length} bytes (${error.message})`);
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ranks = magic & 0xff;
  const header = 4 + 4 * ranks;
  if (bytes.length >= 4 && view.getUint32(0) !== magic) {
    const found = view.getUint32(0).toString(16).padStart(8, '0');
    throw new DataError(
      `${path}: not an idx file of ${ranks} dimensions (starts with ${found}, not 0000080${ranks})`,
    );
  }
  if (bytes.length < header) {
    throw new DataError(`${path}: truncated: ${bytes.length} bytes, but the header alone has ${header}`);
  }
  const sizes = Array.from({ length: ranks }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = header + sizes.reduce((product, size) => product * size, 1);
  if (bytes.length < expected) {
    const has = `${bytes.length} bytes of the ${expected}`;
    throw new DataError(`${path}: truncated: ${has} that its header (${sizes.join(' x ')}) asks for`);
  }
  return { sizes, values: bytes.subarray(header, expected) };
}
