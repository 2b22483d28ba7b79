/** Unpacks a wheel, which is a zip file, without reading it whole. */
import { createWriteStream } from 'node:fs';
import { chmod, type FileHandle, mkdir, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { BackendError } from '@moco-ts/core';
import { configure, type Entry, type FileEntry, Reader, ZipReader } from '@zip.js/zip.js';

configure({ useWebWorkers: false });

class FileReader extends Reader<FileHandle> {
  private readonly file: FileHandle;

  constructor(file: FileHandle, size: number) {
    super(file);
    this.file = file;
    this.size = size;
  }

  override async readUint8Array(index: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - index)));
    const { bytesRead } = await this.file.read(bytes, 0, bytes.length, index);
    return bytes.subarray(0, bytesRead);
  }
}

/** Owner, group and others may run it. */
const EXECUTABLE = 0o755;
const ANY_EXECUTE = 0o111;

/** @throws BackendError for a file that is no zip, or has an entry that would lie outside the folder */
export async function unpack(wheel: string, folder: string, signal?: AbortSignal): Promise<void> {
  const file = await open(wheel);
  try {
    const { size } = await file.stat();
    const zip = new ZipReader(new FileReader(file, size));
    try {
      for (const entry of await zip.getEntries()) await write(entry, folder, signal);
    } finally {
      await zip.close();
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new BackendError(`${basename(wheel)} could not be unpacked: ${(error as Error).message}`);
  } finally {
    await file.close();
  }
}

async function write(entry: Entry, folder: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  // zip.js refuses names that would lie outside the folder.
  const path = join(folder, entry.filename);
  if (entry.directory) return;
  await mkdir(dirname(path), { recursive: true });
  await (entry as FileEntry).getData(Writable.toWeb(createWriteStream(path)) as WritableStream);
  // ptxas, which XLA's CUDA compiler starts, must stay a program.
  if (((entry.externalFileAttributes ?? 0) >>> 16) & ANY_EXECUTE) await chmod(path, EXECUTABLE);
}
