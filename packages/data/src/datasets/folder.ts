import { basename, join } from 'node:path';
import { DataError, printable, SettingError } from '@moco-ts/core';
import { type DatasetSpec, type ImageDataset, MissingSplit, type Split } from '../dataset.ts';
import { EXTENSIONS } from '../decode.ts';
import { some } from '../words.ts';
import { type FileEntry, fileDataset } from './files.ts';
import { stableHash } from './hash.ts';
import { listImages, passedByNote, subfolders, withImages } from './listing.ts';

const TRAIN_FOLDERS = ['train', 'training'];
const TEST_FOLDERS = ['test', 'testing', 'val', 'valid', 'validation'];
/** Up to this many images, or this share of all, may lie beside class folders as unlabelled strays. */
const STRAYS = 3;
const STRAY_SHARE = 0.1;

export interface FolderOptions {
  readonly split?: Split;
  readonly holdOut?: number;
  readonly classes?: boolean;
}

/**
 * An image folder, searched in depth. `train/` and `test/` (or `val/`, in any case) are splits where they exist; the
 * folders of the next level are classes, unless images lie beside them: of a few, each is an image without a label. The
 * classes are one list, from the images of both splits.
 * @throws MissingSplit if there is no such split
 * @throws DataError if there is no image
 */
export async function openFolder(data: string, options: FolderOptions): Promise<ImageDataset> {
  const split = options.split ?? 'train';
  const holdOut = options.holdOut ?? 0;
  if (!(holdOut >= 0 && holdOut < 1))
    throw new SettingError(`holdOut is ${holdOut}: give a share in [0, 1)`, {
      setting: 'holdOut',
      value: holdOut,
    });
  const top = await subfolders(data);
  const own = splitFolders(top);
  const divided = holdOut > 0 && own.test === undefined;
  if (split === 'test' && own.test === undefined && !divided)
    throw new MissingSplit(`${data}: no test images; make a test/ or val/ folder or hold some out`);
  const from = (split === 'test' && !divided ? own.test : own.train) ?? '';
  const other = from === own.train ? own.test : own.train;
  const root = join(data, from);
  const { paths, passedBy } = await listImages(root);
  paths.sort(byCode);
  const passed = passedByNote(passedBy);
  if (paths.length === 0) {
    const why = passed === undefined ? '' : `; ${passed}`;
    throw new DataError(`${root}: no images in this folder (looked for .${EXTENSIONS.join(', .')}${why})`);
  }

  const notes: string[] = [];
  if (own.train !== undefined) {
    const beside = await withImages(
      data,
      top.filter((name) => name !== own.train && name !== own.test),
    );
    if (beside.length > 0) notes.push(`not read, beside ${own.train}/: ${some(beside)}`);
  }
  const loose = paths.filter((path) => !path.includes('/'));
  const flat = options.classes === false || loose.length === paths.length;
  let unlabelled = flat ? undefined : noClasses(paths, loose);
  let classes: string[] | undefined;
  if (!flat && unlabelled === undefined) {
    const folders = await subfolders(root);
    const others = other === undefined ? [] : await subfolders(join(data, other));
    const withOwn = new Set(paths.filter((path) => path.includes('/')).map(classOf));
    if (other !== undefined)
      for (const name of await withImages(join(data, other), others)) withOwn.add(name.normalize('NFC'));
    const empty = new Set([...folders, ...others].filter((name) => !withOwn.has(name.normalize('NFC'))));
    if (empty.size > 0) notes.push(`no images in: ${some([...empty].sort(byCode))}`);
    if (withOwn.size > 1) classes = [...withOwn].sort(byCode);
    else unlabelled = 'its images lie in one folder';
  }
  const numbers = new Map(classes?.map((name, number) => [name, number]));
  let entries: FileEntry[] = paths.map((path) => {
    const label = path.includes('/') ? numbers.get(classOf(path)) : undefined;
    return { path, id: from === '' ? path : `${from}/${path}`, ...(label !== undefined && { label }) };
  });
  if (divided) {
    entries = entries.filter((entry) => isHeldOut(entry.path, holdOut) === (split === 'test'));
    if (entries.length === 0) {
      throw new DataError(
        `${root}: holding out ${holdOut} of ${paths.length} images leaves none for '${split}'`,
        { setting: 'holdOut', value: holdOut },
      );
    }
  }
  const kept: Record<string, unknown> = {};
  if (options.holdOut !== undefined) kept.holdOut = options.holdOut;
  if (options.classes !== undefined) kept.classes = options.classes;
  const source: DatasetSpec = { data, split, ...(Object.keys(kept).length > 0 ? { options: kept } : {}) };
  return {
    ...fileDataset(basename(data) || data, root, entries, source, classes),
    notes: [
      ...notes.map((note) => `${data}: ${note}`),
      ...(passed === undefined ? [] : [`${root}: ${passed}`]),
    ],
    ...(unlabelled !== undefined && { unlabelled }),
  };
}

/** The folders that are splits: `training` is one only beside a folder of test images, for it names classes too. */
function splitFolders(top: readonly string[]): { train?: string; test?: string } {
  const find = (names: readonly string[]) =>
    names
      .map((name) => top.find((one) => one === name) ?? top.find((one) => one.toLowerCase() === name))
      .find((name) => name !== undefined);
  const test = find(TEST_FOLDERS);
  const train = find(test === undefined ? TRAIN_FOLDERS.slice(0, 1) : TRAIN_FOLDERS);
  return train === undefined ? {} : { train, ...(test !== undefined && { test }) };
}

/** Why the folders of these paths are no classes; undefined where they are. */
function noClasses(paths: readonly string[], loose: readonly string[]): string | undefined {
  const inFolders = paths.length - loose.length;
  if (loose.length <= Math.max(STRAYS, STRAY_SHARE * paths.length) && loose.length < inFolders)
    return undefined;
  return `${loose.length} of its ${paths.length} images lie beside its folders, such as ${printable(loose[0]!)}`;
}

const byCode = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
/** In one Unicode form: systems differ in how they write an é. */
const classOf = (path: string) => path.slice(0, path.indexOf('/')).normalize('NFC');
const isHeldOut = (path: string, share: number) => stableHash(path) / 0x100000000 < share;
