import { readFile, stat } from 'node:fs/promises';
import { DataError, UserError } from '@moco-ts/core';
import sharp from 'sharp';
import type { Picture, RawPictures, SharedPictures } from './dataset.ts';
import { nameOfBytes, pathOf } from './datasets/names.ts';
import { createGate } from './gate.ts';
import { MachineError, patiently } from './machine.ts';

// The pool runs pictures side by side; threads inside one small decode only cost.
sharp.concurrency(1);
// Each picture is opened once per epoch: libvips' cache of open files would only hold memory.
sharp.cache(false);

/** File name extensions that are taken for pictures (what the installed sharp decodes). */
export const EXTENSIONS = ['png', 'jpg', 'jpeg', 'webp', 'gif', 'avif', 'tif', 'tiff'] as const;

/**
 * Larger pictures are refused: as bytes they would fill the memory. 67 million pixels, above what cameras of phones give but for
 * their largest mode.
 */
export const MOST_PIXELS = 2 ** 26;
/** Nothing that is a picture takes so long. */
const SECONDS = 60;

const PATTERN = new RegExp(`\\.(${EXTENSIONS.join('|')})$`, 'i');

export function isImageName(name: string): boolean {
  return PATTERN.test(name) && !name.startsWith('.');
}

/**
 * Decodes one file: upright by its EXIF tag, converted to sRGB, transparency composited on white, 8 bit.
 * Of an animation, the first frame.
 * @param path text, or bytes where it is not UTF-8
 * @throws DataError if the file is missing, truncated or no image; MachineError where the machine refuses to read it
 */
export async function decodeFile(path: string | Buffer): Promise<Picture> {
  const name = typeof path === 'string' ? path : nameOfBytes(path);
  return decode(await readInput(path, name), name);
}

/**
 * The same for the bytes of a file.
 * @param name for the message
 * @throws DataError if they are truncated or no picture
 */
export function decodeBytes(bytes: Uint8Array, name = 'the picture'): Promise<Picture> {
  return decode(bytes, name);
}

/** Larger files are left to libvips, which reads what it needs of them. */
const WHOLE = 64 * 2 ** 20;
/** Files that a thread has open at a time. */
const reads = createGate(8);

/** The bytes of a file, so that its errors are the system's, with their codes. */
async function readInput(path: string | Buffer, name: string): Promise<string | Uint8Array> {
  try {
    return await reads.run(1, async () => {
      const info = await patiently(printable(name), () => stat(path));
      if (!info.isFile()) throw new DataError(`${printable(name)}: not a readable image (it is no file)`);
      if (info.size > WHOLE && typeof path === 'string') return path;
      return patiently(printable(name), () => readFile(path));
    });
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'permission denied' : (code ?? error);
    throw new DataError(`${printable(name)}: not a readable image (${reason})`);
  }
}

async function decode(input: string | Uint8Array, name: string): Promise<Picture> {
  try {
    const { data, info } = await sharp(input, { failOn: 'error', limitInputPixels: MOST_PIXELS })
      .timeout({ seconds: SECONDS })
      .rotate()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return { width: info.width, height: info.height, data: toRgb(bytes, info.channels) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (/exceeds pixel limit/.test(reason))
      throw new DataError(
        `${printable(name)}: more than ${Math.floor(MOST_PIXELS / 1e6)} million pixels: make it smaller`,
      );
    if (OUT_OF_MEMORY.test(reason))
      throw new MachineError(`${printable(name)}: out of memory; give fewer workers or smaller images`);
    throw new DataError(`${printable(name)}: not a readable image (${printable(reason.trim())})`);
  }
}

/** libvips, and GLib below it, have no codes. */
const OUT_OF_MEMORY = /out of memory|unable to allocate|cannot allocate|too many open files/i;

/** On one line: file names may hold anything. */
function printable(text: string): string {
  return text
    .replaceAll('\n', '; ')
    .replaceAll(/[\x00-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** RGB from grey (1 channel), grey and alpha (2), RGB (3) or RGBA (4), on white: for small pictures faster than sharp's. */
function toRgb(bytes: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return bytes;
  const pixels = bytes.length / channels;
  const out = new Uint8Array(pixels * 3);
  const green = channels > 2 ? 1 : 0;
  for (let i = 0; i < pixels; i++) {
    const from = i * channels;
    const alpha = channels % 2 === 0 ? bytes[from + channels - 1]! : 255;
    const white = 255 * (255 - alpha) + 127;
    out[i * 3] = (bytes[from]! * alpha + white) / 255;
    out[i * 3 + 1] = (bytes[from + green]! * alpha + white) / 255;
    out[i * 3 + 2] = (bytes[from + 2 * green]! * alpha + white) / 255;
  }
  return out;
}

/** The picture at `index` of an uncompressed set, as interleaved RGB. */
export function decodeRaw(raw: RawPictures, index: number): Picture {
  const { width, height, channels } = raw;
  const plane = width * height;
  const from = new Uint8Array(raw.bytes, index * plane * channels, plane * channels);
  const data = new Uint8Array(plane * 3);
  const green = channels === 3 ? plane : 0;
  for (let i = 0; i < plane; i++) {
    data[i * 3] = from[i]!;
    data[i * 3 + 1] = from[i + green]!;
    data[i * 3 + 2] = from[i + 2 * green]!;
  }
  return { width, height, data };
}

/** A decoder for pictures that another thread has opened. */
export function decoderOf(
  shared: Exclude<SharedPictures, { kind: 'here' }>,
): (index: number) => Promise<Picture> {
  if (shared.kind === 'raw') return async (index) => decodeRaw(shared, index);
  return (index) => decodeFile(pathOf(shared.root, shared.paths[index]!));
}
