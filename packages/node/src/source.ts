/**
 * Files as what readers take parts of: `readFile` takes no more than 2 GiB, and a checkpoint may be larger. What the system
 * refuses to read says nothing about the file: such errors are plain UserErrors, never of damage.
 */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { type ByteSource, readExactly, UserError } from '@moco-ts/core';
import { unreadable } from './files.ts';
import { bytes as inBytes } from './format.ts';

/** Bytes that one call of the system may read; on Linux 2 GB are too many. */
const maxRead = 2 ** 30;

/** @param atOnce the most bytes that one call reads */
export function fileSource(name: string, file: FileHandle, size: number, atOnce = maxRead): ByteSource {
  return {
    name,
    size,
    read: async (offset, length) => {
      const bytes = room(name, length);
      let done = 0;
      while (done < length) {
        const chunk = Math.min(length - done, atOnce);
        const { bytesRead } = await file.read(bytes, done, chunk, offset + done).catch((error: unknown) => {
          throw unreadable(name, error);
        });
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done === length ? bytes : bytes.subarray(0, done);
    },
  };
}

function room(name: string, length: number): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch {
    throw new UserError(`${name} could not be read: a part of ${inBytes(length)} does not fit into memory`, {
      code: 'machine-failed',
    });
  }
}

/**
 * Opens a file for as long as `work` takes.
 * @throws UserError when the system refuses, or it is no file
 */
export async function withSource<T>(
  path: string,
  work: (source: ByteSource) => Promise<T>,
  atOnce?: number,
): Promise<T> {
  // A pipe would keep `open` waiting.
  const entry = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (!entry.isFile())
    throw new UserError(`${path} could not be read: it is no file`, { code: 'file-unreadable' });
  const file = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    return await work(fileSource(path, file, (await file.stat()).size, atOnce));
  } finally {
    await file.close();
  }
}

/** All of a file. @throws UserError as {@link withSource} does */
export const readWhole = (path: string): Promise<Uint8Array> =>
  withSource(path, (source) => readExactly(source, 0, source.size));

/** A text. @throws UserError as {@link withSource} does */
export const readText = async (path: string): Promise<string> =>
  new TextDecoder().decode(await readWhole(path));

/** A text; undefined where there is none. @throws UserError where there is one that can't be read */
export const textIfThere = async (path: string): Promise<string | undefined> =>
  (await entryIfThere(path)) && readText(path);

/** What a file of JSON holds; an empty object where there is none, or no object in it. @throws UserError where it can't be read */
export async function jsonIfThere(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const value: unknown = JSON.parse((await textIfThere(path)) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/**
 * The lines of a text, also a last one without an end. At `\n` alone: in Node 24 node:readline begins a line at U+2028 too, which
 * JSON leaves as it is.
 * @throws UserError when it can't be read
 */
export async function* linesOf(path: string): AsyncGenerator<string> {
  let line = '';
  try {
    for await (const chunk of createReadStream(path, 'utf8') as AsyncIterable<string>) {
      const [end = '', ...others] = chunk.split('\n');
      line += end;
      for (const other of others) {
        yield line;
        line = other;
      }
    }
  } catch (error) {
    throw unreadable(path, error);
  }
  if (line !== '') yield line;
}

/** What a path is; undefined if it does not exist. @throws UserError if the system does not say */
export const entryIfThere = (path: string) => ifThere(path, () => stat(path));

/** The names in a folder, none where it does not exist. @throws UserError where it can't be read */
export const namesIn = async (folder: string) => (await ifThere(folder, () => readdir(folder))) ?? [];

/** Distinguishes what does not exist from what can't be read now: confusing them would start a run over. */
async function ifThere<T>(path: string, act: () => Promise<T>): Promise<T | undefined> {
  return act().catch((error: unknown) => {
    const { code } = error as { readonly code?: unknown };
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw unreadable(path, error);
  });
}
