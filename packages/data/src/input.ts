/** The bytes of a file, read by us: so that its errors are the system's, with their codes, and names may be any bytes. */
import { closeSync, constants, fstatSync, open as openWithCallback, read as readWithCallback } from 'node:fs';
import { promisify } from 'node:util';
import { DataError, UserError } from '@moco-ts/core';
import { HEAD } from './formats/format.ts';
import type { ReadAt } from './formats/tiff.ts';
import { createGate } from './gate.ts';
import { patiently } from './machine.ts';

export interface Input {
  /** The first bytes: all, or {@link HEAD} at least. */
  readonly head: Uint8Array;
  /** For sharp: the bytes, or the path of a large file. */
  readonly source: Uint8Array | string;
  /** All bytes. */
  readAll(): Promise<Uint8Array>;
  readonly read: ReadAt;
}

/** Larger files are left to libvips, which reads what it needs of them. */
const LARGE = 64 * 2 ** 20;
/** Of no file are more bytes read. */
const MOST_BYTES = 2 ** 30;
/** Of a large file: enough for the markers of a photo before its size. */
const LARGE_HEAD = 256 * 2 ** 10;
/** Files that a thread has open at a time. */
const reads = createGate(8);

export function inputOf(bytes: Uint8Array): Input {
  return {
    head: bytes,
    source: bytes,
    readAll: async () => bytes,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/**
 * @param name for the message
 * @throws DataError for a file that can't be opened, MachineError where the machine refuses
 */
export async function openInput(path: string | Buffer, name: string): Promise<Input> {
  const reading = <T>(act: () => Promise<T>) => reads.run(1, () => explained(name, act));
  return reading(() =>
    withFile(path, async (file) => {
      const info = fstatSync(file);
      if (!info.isFile()) throw new DataError(`${name}: not a readable image (it is no file)`);
      if (info.size <= LARGE) return inputOf(await readAt(file, 0, info.size));
      if (info.size > MOST_BYTES && typeof path !== 'string') throw tooLarge(name, info.size);
      if (typeof path !== 'string') return inputOf(await readAt(file, 0, info.size));
      const read = (offset: number, length: number) =>
        reading(() => withFile(path, (again) => readAt(again, offset, length)));
      return {
        head: await readAt(file, 0, Math.max(HEAD, LARGE_HEAD)),
        source: path,
        readAll: async () => {
          if (info.size > MOST_BYTES) throw tooLarge(name, info.size);
          return read(0, info.size);
        },
        read,
      };
    }),
  );
}

const tooLarge = (name: string, size: number) =>
  new DataError(`${name}: a file of ${Math.round(size / 2 ** 20)} MiB: make it smaller`);

// Callbacks cost a small image a tenth less than handles of fs/promises.
const open = promisify(openWithCallback);
const readInto = promisify(readWithCallback);
/** To open a pipe for reading would else wait for its writer. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

async function withFile<T>(path: string | Buffer, act: (file: number) => Promise<T>): Promise<T> {
  const file = await open(path, FLAGS);
  try {
    return await act(file);
  } finally {
    closeSync(file);
  }
}

/** As many bytes as there are. */
async function readAt(file: number, offset: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await readInto(file, bytes, at, length - at, offset + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

async function explained<T>(name: string, act: () => Promise<T>): Promise<T> {
  try {
    return await patiently(name, act);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'permission denied' : (code ?? error);
    throw new DataError(`${name}: not a readable image (${reason})`, {
      ...(code === 'ENOENT' && { code: 'file-missing' }),
      cause: error,
    });
  }
}
