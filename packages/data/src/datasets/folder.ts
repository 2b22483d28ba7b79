import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DataError } from '@moco-ts/core';
import type { DatasetSpec, ImageDataset, Split } from '../dataset.ts';
import { EXTENSIONS, isPictureName } from '../decode.ts';
import { type FileEntry, fileDataset } from './files.ts';
import { stableHash } from './hash.ts';

const TEST_FOLDERS = ['test', 'val', 'validation'];

export interface FolderOptions {
  readonly split?: Split;
  readonly holdOut?: number;
  readonly classes?: boolean;
}

/**
 * An image folder, searched in depth. `train/` and `test/` (or `val/`) are splits where they exist; the folders of
 * the next level are classes, unless pictures lie beside them.
 * @throws DataError if there is no picture, or no such split
 */
export async function openFolder(data: string, options: FolderOptions): Promise<ImageDataset> {
  const split = options.split ?? 'train';
  const holdOut = options.holdOut ?? 0;
  if (!(holdOut >= 0 && holdOut < 1)) throw new DataError(`holdOut is ${holdOut}: give a share in [0, 1)`);
  const top = await subfolders(data);
  const ownTest = TEST_FOLDERS.find((name) => top.includes(name));
  const ownTrain = top.includes('train') ? 'train' : undefined;
  const ownSplits = ownTrain !== undefined;
  const part = ownSplits ? (split === 'train' ? ownTrain : ownTest) : '';
  const divided = holdOut > 0 && (!ownSplits || ownTest === undefined);
  const from = divided && ownSplits ? 'train' : part;
  if (from === undefined || (split === 'test' && !ownSplits && !divided)) {
    throw new DataError(
      `${data}: no test pictures; make a ${TEST_FOLDERS.slice(0, 2).join('/ or ')}/ folder or hold some out`,
    );
  }
  const root = join(data, from);
  const paths: string[] = [];
  await walk(root, '', paths, new Set());
  paths.sort(byCode);
  if (paths.length === 0) {
    throw new DataError(`${root}: no pictures in this folder (looked for .${EXTENSIONS.join(', .')})`);
  }

  const labelled = options.classes !== false && paths.every((path) => path.includes('/'));
  let classes: string[] | undefined;
  if (labelled) {
    const names = new Set(paths.map(classOf));
    // Both splits number their classes alike, even if one of them lacks a class.
    if (ownTest !== undefined && ownTrain !== undefined) {
      const other = from === 'train' ? ownTest : ownTrain;
      for (const name of await subfolders(join(data, other))) names.add(name);
    }
    classes = [...names].sort(byCode);
  }
  const numbers = new Map(classes?.map((name, number) => [name, number]));
  let entries: FileEntry[] = paths.map((path) => ({
    path,
    id: from === '' ? path : `${from}/${path}`,
    ...(labelled ? { label: numbers.get(classOf(path))! } : {}),
  }));
  if (divided) {
    entries = entries.filter((entry) => isHeldOut(entry.path, holdOut) === (split === 'test'));
    if (entries.length === 0) {
      throw new DataError(
        `${root}: holding out ${holdOut} of ${paths.length} pictures leaves none for '${split}'`,
      );
    }
  }
  const kept: Record<string, unknown> = {};
  if (options.holdOut !== undefined) kept.holdOut = options.holdOut;
  if (options.classes !== undefined) kept.classes = options.classes;
  const source: DatasetSpec = { data, split, ...(Object.keys(kept).length > 0 ? { options: kept } : {}) };
  return fileDataset(basename(data) || data, root, entries, source, classes);
}

const byCode = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const classOf = (path: string) => path.slice(0, path.indexOf('/'));
const isHeldOut = (path: string, share: number) => stableHash(path) / 0x100000000 < share;

async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(join(folder, entry.name))))) {
      names.push(entry.name);
    }
  }
  return names;
}

const isFolder = async (path: string) => (await stat(path).catch(() => undefined))?.isDirectory() ?? false;

/** Pipes and devices are no pictures, whatever their names, nor what leads to them: to read one may never end. */
async function isDevice(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return false;
  const target = await stat(path).catch(() => undefined);
  // A link to nothing is a damaged picture, and told as one.
  return target !== undefined && !target.isFile();
}

/** Collects relative paths with `/`; follows links, each linked folder once. */
async function walk(root: string, under: string, out: string[], seen: Set<string>): Promise<void> {
  for (const entry of await readdir(join(root, under), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = under === '' ? entry.name : `${under}/${entry.name}`;
    if (entry.isDirectory()) await walk(root, path, out, seen);
    else if (entry.isSymbolicLink() && (await isFolder(join(root, path)))) {
      const real = await realpath(join(root, path));
      if (seen.has(real)) continue;
      seen.add(real);
      await walk(root, path, out, seen);
    } else if (
      isPictureName(entry.name) &&
      (entry.isFile() || entry.isSymbolicLink()) &&
      !(await isDevice(entry, join(root, path)))
    )
      out.push(path);
  }
}
