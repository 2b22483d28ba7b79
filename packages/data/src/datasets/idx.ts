import { open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { DataError } from '@moco-ts/core';
import { type ImageDataset, MissingSplit, type Split } from '../dataset.ts';
import { patiently } from '../machine.ts';
import { rawDataset } from './raw.ts';

// The idx format (LeCun's MNIST page): two zero bytes, a type (8: unsigned byte), the number of dimensions, then the
// dimensions as big-endian 32-bit integers, then the values.
const IMAGES = 0x0803;
const LABELS = 0x0801;
/** A set is held in memory, shared with the threads. */
const MOST_BYTES = 2 ** 32;
/** No images are packed so small (MNIST: 5), once they are many. */
const MOST_RATIO = 200;
const FREE_BYTES = 2 ** 26;
/** Bytes behind the values that are read, and ignored. */
const MOST_BEHIND = 2 ** 20;

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
  const images = find(starts[split], 'images');
  if (images === undefined) {
    const wanted = split === 'train' ? 'train' : 't10k';
    throw new MissingSplit(
      `${folder}: idx files, but no ${wanted}-images-idx3-ubyte(.gz) for the ${split} split`,
    );
  }
  const path = join(folder, images);
  const { sizes, values } = await readIdx(path, IMAGES);
  const [length, height, width] = sizes as [number, number, number];
  if (length * height * width === 0) throw new DataError(`${path}: holds no images (${sizes.join(' x ')})`);
  const bytes = values.buffer as unknown as SharedArrayBuffer;

  const labelFile = find(starts[split], 'labels');
  let labels: Uint8Array | undefined;
  if (labelFile !== undefined) {
    const labelPath = join(folder, labelFile);
    const read = await readIdx(labelPath, LABELS);
    if (read.values.length !== length) {
      throw new DataError(`${labelPath}: ${read.values.length} labels for the ${length} images of ${images}`);
    }
    labels = read.values;
  }
  const count = labels?.reduce((most, label) => Math.max(most, label + 1), 0) ?? 0;
  const classes = Array.from({ length: Math.max(count, 10) }, (_, i) => String(i));
  const raw = { bytes, length, width, height, channels: 1 as const };
  return rawDataset(basename(folder) || folder, split, folder, raw, labels, labels && classes);
}

async function readIdx(path: string, magic: number): Promise<{ sizes: number[]; values: Uint8Array }> {
  const info = await patiently(path, () => stat(path));
  // To open a pipe may never end.
  if (!info.isFile()) throw new DataError(`${path}: no file`);
  const file = await patiently(path, () => open(path));
  try {
    const raw = file.createReadStream({ autoClose: false });
    if (!path.endsWith('.gz')) return await fill(path, magic, info.size, raw);
    // Closed when the bytes are there: what follows in a bomb is never unpacked.
    const unzipped = raw.pipe(createGunzip());
    raw.on('error', (error) => unzipped.destroy(error));
    try {
      return await fill(path, magic, MOST_RATIO * info.size + FREE_BYTES, unzipped);
    } catch (error) {
      if (!(error as NodeJS.ErrnoException).code?.startsWith('Z_')) throw error;
      const { message } = error as Error;
      throw new DataError(`${path}: damaged gzip file of ${info.size} bytes (${message})`);
    } finally {
      raw.destroy();
    }
  } finally {
    await file.close();
  }
}

/** @param most bytes that the file can hold */
async function fill(path: string, magic: number, most: number, stream: AsyncIterable<Uint8Array>) {
  const ranks = magic & 0xff;
  const header = new Uint8Array(4 + 4 * ranks);
  let read = 0;
  let sizes: number[] | undefined;
  let values = new Uint8Array(0);
  for await (const chunk of stream) {
    const head = chunk.subarray(0, Math.max(0, header.length - read));
    if (head.length > 0) header.set(head, read);
    if (read < header.length && read + head.length === header.length) {
      sizes = sizesOf(path, header, magic);
      values = room(path, header.length, sizes, most);
    }
    const rest = chunk.subarray(head.length);
    const at = read + head.length - header.length;
    if (sizes !== undefined && at < values.length) values.set(rest.subarray(0, values.length - at), at);
    read += chunk.length;
    // To the end of a sound file, so that its checksum is compared.
    if (sizes !== undefined && read > header.length + values.length + MOST_BEHIND) break;
  }
  if (sizes === undefined) {
    if (read >= 4) sizesOf(path, header, magic);
    throw new DataError(`${path}: truncated: ${read} bytes, but the header alone has ${header.length}`);
  }
  if (read < header.length + values.length) throw truncated(path, read, header.length + values.length, sizes);
  return { sizes, values };
}

function sizesOf(path: string, header: Uint8Array, magic: number): number[] {
  const view = new DataView(header.buffer);
  if (view.getUint32(0) !== magic) {
    const start = view.getUint32(0).toString(16).padStart(8, '0');
    const ranks = magic & 0xff;
    throw new DataError(
      `${path}: not an idx file of ${ranks} dimensions (starts with ${start}, not 0000080${ranks})`,
    );
  }
  return Array.from({ length: magic & 0xff }, (_, i) => view.getUint32(4 + 4 * i));
}

/** Memory for the values, if the file can hold them. */
function room(path: string, header: number, sizes: readonly number[], most: number): Uint8Array<ArrayBuffer> {
  const count = sizes.reduce((product, size) => product * size, 1);
  if (count > MOST_BYTES)
    throw new DataError(
      `${path}: its header asks for ${sizes.join(' x ')} bytes; sets of such files are held in memory, up to 4 GiB`,
    );
  if (header + count > most) throw truncated(path, most, header + count, sizes);
  return new Uint8Array(new SharedArrayBuffer(count) as unknown as ArrayBuffer);
}

function truncated(path: string, has: number, expected: number, sizes: readonly number[]): DataError {
  const asked = `of the ${expected} that its header (${sizes.join(' x ')}) asks for`;
  return path.endsWith('.gz') && has >= FREE_BYTES
    ? new DataError(`${path}: too small a gzip file to hold images: the most it can is ${has} bytes ${asked}`)
    : new DataError(`${path}: truncated: ${has} bytes ${asked}`);
}
