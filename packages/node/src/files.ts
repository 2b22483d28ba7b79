import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { CheckpointError, UserError } from '@moco-ts/core';

/** What is used of the file system; tests put failing parts in. */
export interface Disk {
  open(path: string, flags: string): Promise<Pick<FileHandle, 'writeFile' | 'sync' | 'close'>>;
  rename(from: string, to: string): Promise<void>;
}

/** What a file is to hold; a file that is larger than an array can be comes in parts. */
export type FileData = Uint8Array | string | readonly Uint8Array[];

const partsOf = (data: FileData): readonly (Uint8Array | string)[] =>
  typeof data === 'string' || data instanceof Uint8Array ? [data] : data;

/** In bytes. */
export const sizeOfData = (data: FileData): number =>
  partsOf(data).reduce((sum, part) => sum + Buffer.byteLength(part), 0);

const disk: Disk = { open, rename };
const TEMPORARY = '.partial';

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than is allowed',
  EACCES: 'no permission',
  EPERM: 'no permission',
  EROFS: 'the file system is read-only',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  EEXIST: 'it exists already',
  EIO: 'the disk failed',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'its links lead in a circle',
  EMFILE: 'too many files are open in this process: raise ulimit -n',
  ENFILE: 'too many files are open on this machine',
  ENOMEM: 'there is not enough memory',
  ESTALE: 'the network file system has lost it',
  ETIMEDOUT: 'the disk does not answer',
};

/** Why a system call failed, in words; undefined for any other error. */
export function systemReason(error: unknown): string | undefined {
  const { code, syscall, errno } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof code !== 'string') return undefined;
  if (code in reasons) return `${reasons[code]} (${code})`;
  // Whatever else a system may say.
  return typeof syscall === 'string' && typeof errno === 'number'
    ? `${getSystemErrorMap().get(errno)?.[1] ?? syscall} (${code})`
    : undefined;
}

const reasonOf = (error: unknown) => systemReason(error) ?? (error as Error).message;

/** The error for what the system refuses to write. */
export const unwritable = (path: string, error: unknown): UserError =>
  new UserError(`${path} could not be written: ${reasonOf(error)}`, {
    code: 'file-unwritable',
    cause: error,
  });

/** The error for what the system refuses to read. */
export function unreadable(path: string, error: unknown): UserError {
  const code = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'file-missing' : 'file-unreadable';
  return new UserError(`${path} could not be read: ${reasonOf(error)}`, { code, cause: error });
}

/** For `catch`: undefined for a damaged file; an error of reading is thrown again. */
export function undefinedIfDamaged(error: unknown): undefined {
  if (!(error instanceof CheckpointError)) throw error;
}

/** One line for an error of the file system, for the user; undefined for any other error. */
export function describeSystemError(error: unknown): string | undefined {
  const reason = systemReason(error);
  if (reason === undefined) return undefined;
  const { path } = error as { readonly path?: unknown };
  return typeof path === 'string' ? `${path}: ${reason}` : reason;
}

/**
 * Writes a file so that a reader, or the next start after a crash, finds either the old content or the new one.
 * The bytes go to a temporary name in the same folder and are forced to the disk before the rename; the folder is
 * forced too, or the rename might be lost.
 * @throws UserError when the disk refuses; the temporary file is gone and what was there before is untouched
 */
export async function writeAtomic(path: string, data: FileData, via: Disk = disk): Promise<void> {
  const temporary = `${path}${TEMPORARY}`;
  try {
    const file = await via.open(temporary, 'w');
    try {
      for (const part of partsOf(data)) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await via.rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw unwritable(path, error);
  }
  await syncFolder(dirname(path));
}

async function syncFolder(folder: string): Promise<void> {
  // Windows opens no folders; its rename is durable by itself.
  const handle = await open(folder, 'r').catch(() => undefined);
  if (handle === undefined) return;
  try {
    await handle.sync().catch(() => undefined);
  } finally {
    await handle.close();
  }
}

/** Unfinished files of a run; any other in its folder may belong to a command that is still running. */
const ofRuns =
  /^(checkpoint-.*\.safetensors|latest\.json|config\.json|mlflow\.json|(latest|best)\.safetensors)\.partial$/;

/** Removes what a run's writes left behind if they were killed before the rename. */
export async function removePartial(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [] as string[]))
    if (ofRuns.test(name)) await rm(join(folder, name), { force: true });
}

/**
 * Makes a folder and its parents. (Node's recursive mkdir never ends, and can't be stopped, where the system refuses a folder
 * with ENOENT, as in /proc.)
 * @returns those that were made now, the innermost first
 * @throws UserError when the system refuses
 */
export async function makeFolder(path: string): Promise<string[]> {
  const refused = (error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'the system takes no folder there' : reasonOf(error);
    return new UserError(`the folder ${path} could not be made: ${reason}`, {
      code: 'file-unwritable',
      cause: error,
    });
  };
  const missing: string[] = [];
  for (let at = resolve(path); !(await isFolder(at, refused)); at = dirname(at)) missing.push(at);
  for (const folder of missing.toReversed())
    try {
      await mkdir(folder);
    } catch (error) {
      // Another process may have been faster.
      const there = (error as NodeJS.ErrnoException).code === 'EEXIST' && (await isFolder(folder, refused));
      if (!there) throw refused(error);
    }
  return missing;
}

async function isFolder(path: string, refused: (error: unknown) => Error): Promise<boolean> {
  try {
    const isDirectory = (await stat(path)).isDirectory();
    if (!isDirectory) throw Object.assign(new Error(), { code: 'ENOTDIR' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && dirname(path) !== path) return false;
    throw refused(error);
  }
}
