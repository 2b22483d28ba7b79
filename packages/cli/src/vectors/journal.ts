/**
 * What an unfinished `moco embed` leaves beside its output, in `OUTPUT.partial/`: the vectors so far, and a log whose lines say
 * how far they go. A line is written once its vectors are on the disk, so that complete lines
 * are true wherever a crash cuts the log off. The output is made from it at the end.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import {
  describeSystemError,
  linesOf,
  makeFolder,
  openTogether,
  textIfThere,
  writeAtomic,
} from '@moco-ts/node';
import { currentNames } from '@moco-ts/run';
import type { VectorRows } from './parquet.ts';

/** What must stay the same for an interrupted run to resume, by the name that the user knows. */
export type Job = Readonly<Record<string, string | number | boolean>>;

interface Line {
  /** Images of the data set that are done, those left out among them. */
  readonly next: number;
  readonly ids: readonly string[];
}

export interface Journal {
  readonly folder: string;
  /** Images that are done. */
  readonly next: number;
  /** Vectors that are there. */
  readonly rows: number;
  /** @param vectors [ids.length, dim] @param next as in {@link Journal.next} */
  append(ids: readonly string[], vectors: Float32Array, next: number): Promise<void>;
  /** Everything, in order, a batch at a time. */
  read(): AsyncGenerator<VectorRows>;
  close(): Promise<void>;
  /** Closes it and takes it away. */
  remove(): Promise<void>;
}

export const journalFolder = (output: string) => `${output}.partial`;

/**
 * Resumes an unfinished job, or begins one.
 * @param images of the data set
 * @throws UserError when the folder holds another job, or none; its message names what differs
 */
export async function openJournal(output: string, dim: number, images: number, job: Job): Promise<Journal> {
  const folder = journalFolder(output);
  const path = (name: string) => join(folder, name);
  await makeFolder(folder);
  const before = await textIfThere(path('job.json'));
  if (before === undefined) {
    // What a removal that was cut off may have left is of no known job.
    for (const name of ['log.jsonl', 'vectors.f32']) await rm(path(name), { force: true });
    await writeAtomic(path('job.json'), `${JSON.stringify(job)}\n`);
  } else checkSame(folder, before, job);
  const files = await openTogether(async (keep) => {
    const vectors = keep(await open(path('vectors.f32'), 'a+'));
    const log = keep(await open(path('log.jsonl'), 'a+'));
    return { vectors, log, ...(await recover(vectors, log, path('log.jsonl'), dim, images)) };
  });
  const { vectors, log, dispose: close } = files;
  let { next, rows } = files;
  return {
    folder,
    get next() {
      return next;
    },
    get rows() {
      return rows;
    },
    append: async (ids, part, done) => {
      try {
        await vectors.writeFile(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
        await vectors.datasync();
        await log.writeFile(`${JSON.stringify({ next: done, ids } satisfies Line)}\n`);
      } catch (error) {
        throw new UserError(
          `${folder} could not be written: ${describeSystemError(error) ?? (error as Error).message}; what is there stays, and the same command goes on`,
          { code: 'file-unwritable' },
        );
      }
      next = done;
      rows += ids.length;
    },
    async *read() {
      let at = 0;
      for await (const line of linesOf(path('log.jsonl'))) {
        const { ids } = JSON.parse(line) as Line;
        const bytes = new Uint8Array(4 * ids.length * dim);
        const { bytesRead } = await vectors.read(bytes, 0, bytes.length, 4 * at * dim);
        if (bytesRead < bytes.length)
          throw new UserError(`${path('vectors.f32')} became shorter; use --restart`, {
            code: 'data-invalid',
          });
        at += ids.length;
        yield { ids, vectors: new Float32Array(bytes.buffer) };
      }
    },
    close,
    remove: async () => {
      await close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function checkSame(folder: string, text: string, job: Job): void {
  let before: Partial<Job>;
  try {
    before = Object(currentNames(JSON.parse(text)));
  } catch {
    throw new UserError(`${join(folder, 'job.json')} is damaged: begin anew with --restart`, {
      code: 'data-invalid',
    });
  }
  // What an earlier version did not know was off.
  const differing = Object.keys(job).filter((key) => (before[key] ?? false) !== job[key]);
  if (differing.length > 0)
    throw new UserError(
      `${folder} is of an interrupted run with another ${differing.join(', ')}: repeat that command, or begin anew with --restart`,
      { code: 'setting-conflict' },
    );
}

/** Truncates the log after the last complete line that this program can have written and whose vectors exist. */
async function recover(
  vectors: FileHandle,
  log: FileHandle,
  logPath: string,
  dim: number,
  images: number,
): Promise<{ next: number; rows: number }> {
  const bytes = (await vectors.stat()).size;
  const size = (await log.stat()).size;
  let [next, rows, end] = [0, 0, 0];
  // By lines: the ids of millions of images are more than one text may hold.
  for await (const line of linesOf(logPath)) {
    const complete = end + Buffer.byteLength(line) + 1 <= size;
    const entry = complete ? parsed(line) : undefined;
    if (entry === undefined || entry.next > images || entry.next < next + entry.ids.length) break;
    if (4 * dim * (rows + entry.ids.length) > bytes) break;
    next = entry.next;
    rows += entry.ids.length;
    end += Buffer.byteLength(line) + 1;
  }
  await log.truncate(end);
  await vectors.truncate(4 * dim * rows);
  return { next, rows };
}

function parsed(line: string): Line | undefined {
  try {
    const { next, ids } = Object(JSON.parse(line)) as Partial<Line>;
    if (!Number.isSafeInteger(next) || !Array.isArray(ids)) return undefined;
    return ids.every((id) => typeof id === 'string') ? { next: next!, ids } : undefined;
  } catch {
    return undefined;
  }
}
