/** Embeds a data set into a file in bounded memory, and resumes after an interruption. */
import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { DataError, DivergedError, UserError } from '@moco-ts/core';
import type { ImageDataset, SkippedImage } from '@moco-ts/data';
import { type Lock, lockOutput, systemReason, version, withOpened } from '@moco-ts/node';
import { hexadecimal } from '@moco-ts/run';
import { type Embedder, embedBatch, scaled } from './embedder.ts';
import { formatOf, type VectorInfo } from './file.ts';
import { type Journal, journalFolder, openJournal } from './journal.ts';
import { npyHeader } from './npy.ts';
import { idsPath } from './npy-file.ts';
import { writeParquet } from './parquet.ts';

export interface EmbedSettings {
  /** Ends in `.parquet` or `.npy`. */
  readonly output: string;
  readonly unit: boolean;
  /** Throws away what an interrupted run left. */
  readonly restart: boolean;
  readonly withHead: boolean;
  readonly tokens: boolean;
  readonly backend: string;
}

export interface EmbedEvents {
  /** Called when a lock was taken over. */
  readonly onNote: (text: string) => void;
  /** Before the first batch: how many images an interrupted run has done. */
  readonly onStart: (done: number) => void;
  readonly onProgress: (done: number) => void;
  readonly onSkip: (skipped: SkippedImage) => void;
  /** Damaged images that are left out before it is an error; default 1 % of the set, at least 10. */
  readonly maxBad?: number;
  /** Asked after each batch. */
  readonly stopped: () => boolean;
}

export interface EmbedResult {
  readonly finished: boolean;
  /** Vectors that were written. */
  readonly rows: number;
}

/**
 * Writes the vectors of all images that can be read. An interrupted run, even a killed one, goes on when it is
 * repeated; the file then has the bytes that it would have had without the interruption.
 * @throws UserError for a name of another ending, what another run left, a full disk, or a set without a readable image
 */
export async function embedToFile(
  embedder: Embedder,
  dataset: ImageDataset,
  settings: EmbedSettings,
  events: EmbedEvents,
): Promise<EmbedResult> {
  const { output } = settings;
  if (formatOf(output) === undefined)
    throw new UserError(`--out ${output}: the name should end in .parquet or .npy`, {
      code: 'setting-invalid',
      setting: 'out',
    });
  const lock = await lockOutput(output, events.onNote);
  try {
    return await embedLocked(embedder, dataset, settings, events, lock);
  } finally {
    lock.release();
  }
}

async function embedLocked(
  embedder: Embedder,
  dataset: ImageDataset,
  settings: EmbedSettings,
  events: EmbedEvents,
  lock: Lock,
): Promise<EmbedResult> {
  const { output, unit, tokens } = settings;
  const { dim, rows } = embedder;
  const width = rows * dim;
  if (settings.restart) await rm(journalFolder(output), { recursive: true, force: true });
  const info: VectorInfo = {
    moco: version,
    model: embedder.model,
    encoder: embedder.checksum,
    data: dataset.source,
    unit,
    ...(tokens && { tokens: [rows, dim] as const }),
  };
  const journal = await openJournal(output, width, dataset.length, {
    model: embedder.checksum,
    images: fingerprint(dataset),
    data: JSON.stringify(dataset.source),
    '--raw': !unit,
    '--with-head': settings.withHead,
    '--tokens': tokens,
    '--backend': settings.backend,
    version,
  });
  try {
    events.onStart(journal.next);
    for await (const { indices, vectors } of embedder.embed(dataset, journal.next, {
      ...events,
      badBefore: journal.next - journal.rows,
    })) {
      const ids = Array.from(indices, (index) => dataset.id(index));
      const next = Math.min(dataset.length, (Math.floor(indices.at(-1)! / embedBatch) + 1) * embedBatch);
      await journal.append(ids, scaled(vectors, dim, unit), next);
      events.onProgress(next);
      if (events.stopped()) return { finished: false, rows: journal.rows };
    }
    if (journal.rows === 0) throw new DataError(`${dataset.name}: none of its images could be read`);
    lock.check();
    await finish(journal, output, width, info);
    await journal.remove();
    return { finished: true, rows: journal.rows };
  } catch (error) {
    // A model that gives nothing leaves nothing to resume.
    if (error instanceof DivergedError && journal.rows === 0) await journal.remove();
    const reason = systemReason(error);
    throw reason === undefined
      ? error
      : new UserError(`${output} could not be written: ${reason}`, { code: 'file-unwritable' });
  } finally {
    await journal.close().catch(() => undefined);
  }
}

/** Of the images' names, in order. */
function fingerprint(dataset: ImageDataset): string {
  const hash = createHash('sha256');
  for (let i = 0; i < dataset.length; i++) hash.update(`${dataset.id(i)}\0`);
  return hash.digest('hex');
}

async function finish(journal: Journal, output: string, width: number, info: VectorInfo): Promise<void> {
  const complete = join(journal.folder, 'output');
  if (formatOf(output) === '.npy') {
    const ids = join(journal.folder, 'ids.json');
    await writeNpy(journal, complete, ids, info.tokens ?? [width], info);
    await synced(ids);
    await rename(ids, idsPath(output));
  } else await writeParquet(complete, journal.read(), width, info);
  await synced(complete);
  await rename(complete, output);
}

async function writeNpy(
  journal: Journal,
  path: string,
  idsFile: string,
  row: readonly number[],
  info: VectorInfo,
): Promise<void> {
  await withOpened(async (keep) => {
    const [values, names] = [keep(await open(path, 'w')), keep(await open(idsFile, 'w'))];
    await values.writeFile(npyHeader(journal.rows, ...row));
    await names.writeFile(`{"moco": ${JSON.stringify(info)},\n"ids": [`);
    let [sum, first] = [0, true];
    for await (const { ids, vectors } of journal.read()) {
      const bytes = new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength);
      sum = crc32(bytes, sum);
      await values.writeFile(bytes);
      await names.writeFile(
        ids.map((id, i) => `${first && i === 0 ? '' : ','}\n${JSON.stringify(id)}`).join(''),
      );
      first = false;
    }
    await names.writeFile(`\n],\n"crc32": "${hexadecimal(sum)}"}\n`);
  });
}

const synced = (path: string) =>
  withOpened(async (keep) => {
    await keep(await open(path, 'r+')).sync();
  });
