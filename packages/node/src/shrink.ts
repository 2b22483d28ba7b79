/** A copy of an image folder with smaller images, for training that needs no more and reads them quicker. */
import { mkdir, readdir, realpath, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { printable, SettingError, say, settingRef, UserError } from '@moco-ts/core';
import {
  copyNames,
  decodeFile,
  type ImageDataset,
  openDataset,
  openTest,
  pathOf,
  type SkippedImage,
  shrinkImages,
} from '@moco-ts/data';
import { unwritable, writeAtomic } from './files.ts';
import { LOCK, lockFolder } from './lock.ts';
import { textIfThere } from './source.ts';

export interface ShrinkJob {
  /** An image folder. */
  readonly data: string;
  /** Pixels of the shorter side, at most. */
  readonly size: number;
  /** The copy's folder. Default beside `data`: `photos-256`. */
  readonly out?: string | undefined;
  /** Processes that decode. */
  readonly workers: number;
  /** Damaged images of a split that are left out before it is an error. Default 1 %, at least 10. */
  readonly maxBad?: number | undefined;
  readonly onSkip: (skipped: SkippedImage) => void;
  readonly note: (text: string) => void;
  /** @param done images that there are copies of, or that are damaged */
  readonly progress: (done: number, images: number) => void;
  /** Set from outside to stop. */
  readonly stop: { readonly requested: boolean };
}

export interface Shrunk {
  readonly outcome: 'done' | 'stopped';
  readonly out: string;
  readonly images: number;
  /** Copies that were there. */
  readonly kept: number;
  readonly damaged: number;
  /** Bytes of the images that have a copy, and of their copies. */
  readonly bytes: { readonly before: number; readonly after: number };
  /** Milliseconds that one image takes to decode, the mean of some. Missing where nothing was copied, or it was stopped. */
  readonly decoding?: { readonly before: number; readonly after: number; readonly images: number };
}

/** Hidden, so that no reader lists them. */
const PREFIX = '.moco-shrink';
/** What a copy was made of, and how: another recipe's files are no part of it. */
const RECORD = `${PREFIX}.json`;
const OWN = /^\.moco-shrink/;
const PARTIAL = /^\.moco-shrink.*\.partial$/;

/** An image and its copy. */
interface Pair {
  readonly index: number;
  readonly from: string | Buffer;
  readonly folder: string | Buffer;
  readonly to: string | Buffer;
  /** Bytes; 0 for what is not there. */
  readonly before: number;
  /** When the image was last written, in milliseconds since 1970, which its copy has too. */
  readonly time: number;
  /** Bytes of a whole copy; 0 for what is still to be made, or damaged. */
  after: number;
}

/**
 * Copies the images that training reads, train and test split, smaller. What is there already and has its image's time stays. A
 * damaged image leaves an empty file, so that all others keep their numbers: training on the copy leaves it out as before.
 * @throws SettingError for data that are no image folder, UserError for an `out` that is taken or lies where the images are, or a
 * disk that refuses; DataError for too many damaged images. What was copied before stays, and the same call goes on.
 */
export async function shrink(job: ShrinkJob): Promise<Shrunk> {
  const { data, size, note } = job;
  const out = job.out ?? `${resolve(data)}-${size}`;
  const sets = await openSets(data);
  await expectApart(data, out);
  const lock = await lockFolder(out, note);
  try {
    await takeFolder(out, { data: await realpath(data), size });
    const splits: Split[] = [];
    for (const set of sets) splits.push({ set, pairs: await pairsOf(set, data, out) });
    const kept = splits.flatMap(({ pairs }) => pairs).filter(({ after }) => after > 0).length;
    const outcome = await copyAll(job, out, splits);
    if (outcome === 'done') await expectSame(splits, data, out);
    const pairs = splits.flatMap((split) => split.pairs);
    const copied = pairs.filter(({ after }) => after > 0);
    const bytes = { before: sum(copied, 'before'), after: sum(copied, 'after') };
    const decoding = outcome === 'done' && copied.length > 0 ? await timed(copied) : undefined;
    const damaged = outcome === 'done' ? pairs.length - copied.length : 0;
    return { outcome, out, images: pairs.length, kept, damaged, bytes, ...(decoding && { decoding }) };
  } finally {
    lock.release();
  }
}

interface Split {
  readonly set: ImageDataset;
  /** In the order of the set. */
  readonly pairs: readonly Pair[];
}

const sum = (pairs: readonly Pair[], key: 'before' | 'after') =>
  pairs.reduce((total, pair) => total + pair[key], 0);

const idsOf = (set: ImageDataset) => Array.from({ length: set.length }, (_, index) => set.id(index));

/** @throws SettingError for what is no folder of image files */
async function openSets(data: string): Promise<ImageDataset[]> {
  const train = await openDataset(data);
  if (data === 'emoji' || train.share?.().kind !== 'files')
    throw new SettingError(
      say`${settingRef('data')} is ${data}, no folder of image files: there is nothing to shrink`,
      { value: data },
    );
  const test = await openTest(data);
  return test ? [train, test] : [train];
}

/** @throws UserError where one folder is a part of the other */
async function expectApart(data: string, out: string): Promise<void> {
  const [images, copy] = [await realpath(data), await realpathOf(resolve(out))];
  const contains = (folder: string, path: string) => `${path}${sep}`.startsWith(`${folder}${sep}`);
  if (contains(images, copy) || contains(copy, images))
    throw new UserError(
      say`${out} and ${data} lie in one another, and nothing is written to the images: choose another ${settingRef('out')}`,
      { code: 'setting-conflict', setting: 'out', value: out },
    );
}

/** Of what need not be there. */
async function realpathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return dirname(path) === path ? path : join(await realpathOf(dirname(path)), basename(path));
  }
}

/** Takes an empty folder, or one that an earlier call with the same record took. */
async function takeFolder(
  out: string,
  record: { readonly data: string; readonly size: number },
): Promise<void> {
  const text = JSON.stringify(record);
  const before = await textIfThere(join(out, RECORD));
  const names = await readdir(out);
  if (before !== undefined ? before !== text : names.some((name) => name !== LOCK && !OWN.test(name)))
    throw new UserError(
      say`${out} holds ${before === undefined ? 'other files' : `a copy by another recipe (${printable(before)})`}: choose another ${settingRef('out')}`,
      { code: 'file-taken', setting: 'out', value: out },
    );
  for (const name of names) if (PARTIAL.test(name)) await rm(join(out, name), { force: true });
  if (before === undefined) await writeAtomic(join(out, RECORD), text);
}

/** Milliseconds: the file system of the copy may keep a time less exactly, exFAT by hundredths of a second. */
const SAME_TIME = 10;

/** Files that are looked at or written at a time. */
const AT_ONCE = 32;

async function pairsOf(set: ImageDataset, data: string, out: string): Promise<Pair[]> {
  const ids = idsOf(set);
  const names = copyNames(ids);
  const pairs: Pair[] = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE).map(async (id, i): Promise<Pair> => {
      const name = names[at + i]!;
      const [from, to] = [pathOf(data, id), pathOf(out, name)];
      const folder = pathOf(out, name.slice(0, Math.max(0, name.lastIndexOf('/'))));
      const [image, copy] = await Promise.all([from, to].map((path) => stat(path).catch(() => undefined)));
      // Of a machine that crashed, a file may have its name and nothing else.
      const { size: before = 0, mtimeMs: time = 0 } = image ?? {};
      const isThere = copy?.isFile() === true && Math.abs(copy.mtimeMs - time) < SAME_TIME;
      return { index: at + i, from, folder, to, before, time, after: isThere ? copy.size : 0 };
    });
    pairs.push(...(await Promise.all(some)));
  }
  return pairs;
}

async function copyAll(job: ShrinkJob, out: string, splits: readonly Split[]): Promise<Shrunk['outcome']> {
  const { size, workers, maxBad, onSkip, progress, stop } = job;
  const all = splits.flatMap(({ pairs }) => pairs);
  let done = all.filter(({ after }) => after > 0).length;
  const write = createWriter(out);
  for (const { set, pairs } of splits) {
    const indices = pairs.filter(({ after }) => after === 0).map(({ index }) => index);
    if (indices.length === 0) continue;
    const reading = { size, indices, workers, onSkip, ...(maxBad !== undefined && { maxBad }) };
    for await (const made of shrinkImages(set, reading)) {
      const writes = made.files.map((file, i) => write(pairs[made.indices[i]!]!, file));
      await Promise.all([...writes, ...made.damaged.map((index) => write(pairs[index]!, new Uint8Array(0)))]);
      done += made.files.length + made.damaged.length;
      progress(done, all.length);
      if (stop.requested) return 'stopped';
    }
  }
  return 'done';
}

/** Writes copies: whole, or not at all. They are not forced to the disk: what a crash of the machine leaves empty is made again. */
function createWriter(out: string): (pair: Pair, file: Uint8Array) => Promise<void> {
  let number = 0;
  const folders = new Map<string, Promise<unknown>>();
  return async (pair, file) => {
    const partial = join(out, `${PREFIX}-${number++}.partial`);
    const key = Buffer.from(pair.folder).toString('latin1');
    try {
      if (!folders.has(key)) folders.set(key, mkdir(pair.folder, { recursive: true }));
      await folders.get(key);
      await writeFile(partial, file);
      await utimes(partial, pair.time / 1000, pair.time / 1000);
      await rename(partial, pair.to);
      pair.after = file.length;
    } catch (error) {
      await rm(partial, { force: true }).catch(() => undefined);
      throw unwritable(pair.to.toString(), error);
    }
  };
}

/** @throws UserError where training would see other images, or in another order */
async function expectSame(splits: readonly Split[], data: string, out: string): Promise<void> {
  const copies = await openSets(out);
  splits.forEach(({ set }, i) => {
    const names = copyNames(idsOf(set));
    const copied = copies[i] ? idsOf(copies[i]) : [];
    const at = Array.from({ length: Math.max(names.length, copied.length) }, (_, at) => at).find(
      (at) => names[at] !== copied[at],
    );
    if (at !== undefined)
      throw new UserError(
        `${out} is not ${data} in small: its image ${at} is ${copied[at] ?? 'missing'}, not ${names[at] ?? 'there'}; remove what is no copy`,
        { code: 'data-invalid' },
      );
  });
}

/** Images that are timed. */
const TIMED = 32;

/** How long decoding takes, one image at a time: evenly spread ones, in turn with their copies. */
async function timed(pairs: readonly Pair[]): Promise<NonNullable<Shrunk['decoding']>> {
  const images = Math.min(TIMED, pairs.length);
  let [before, after] = [0, 0];
  const timeOf = async (path: string | Buffer) => {
    const started = performance.now();
    await decodeFile(path);
    return (performance.now() - started) / images;
  };
  // The first decode of a process is slow.
  await decodeFile(pairs[0]!.to);
  for (let i = 0; i < images; i++) {
    const { from, to } = pairs[Math.floor((i * pairs.length) / images)]!;
    before += await timeOf(from);
    after += await timeOf(to);
  }
  return { before, after, images };
}
