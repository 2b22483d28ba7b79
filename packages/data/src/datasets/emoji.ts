import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { DataError } from '@moco-ts/core';
import type { DatasetSpec, ImageDataset, Split } from '../dataset.ts';
import { type FileEntry, fileDataset } from './files.ts';
import { stableHash } from './hash.ts';

/** Whose drawings there are; each has its package `emoji-datasource-<designer>`. */
export const DESIGNERS = ['google', 'twitter', 'apple', 'facebook'] as const;
export type Designer = (typeof DESIGNERS)[number];

const DEFAULT_DESIGNERS: readonly Designer[] = ['google', 'twitter'];

export interface EmojiOptions {
  readonly split?: Split;
  readonly designers?: readonly Designer[];
}

/** One line of the packages' emoji.json: the fields used here. */
interface EmojiEntry {
  readonly image: string;
  readonly category: string;
  readonly [hasImage: `has_img_${string}`]: boolean;
}

/** True if an emoji (its code points, as in `1f600` or `0033-fe0f-20e3`) belongs to the held-out fifth. */
export function isHeldOutEmoji(codepoints: string): boolean {
  return stableHash(codepoints) % 5 === 0;
}

/** The code points of an emoji image's id: `google/1f600` -> `1f600`. */
export function codepointsOf(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}

/**
 * The built-in set: base emoji (no skin variations), 64 x 64, drawn by each of `designers`; labels are the categories.
 * The split goes by code points, so all drawings of one emoji are on one side.
 * @throws DataError for an unknown designer or a package that is not installed
 */
export async function openEmoji(options: EmojiOptions = {}): Promise<ImageDataset> {
  const split = options.split ?? 'train';
  const designers = options.designers ?? DEFAULT_DESIGNERS;
  if (designers.length === 0)
    throw new DataError(`emoji: no designer given (there are ${DESIGNERS.join(', ')})`, {
      setting: 'designers',
      value: [],
    });
  const folders: { designer: Designer; folder: string; list: EmojiEntry[] }[] = [];
  for (const designer of new Set(designers)) {
    if (!DESIGNERS.includes(designer)) {
      throw new DataError(`emoji: no designer '${designer}' (there are ${DESIGNERS.join(', ')})`, {
        setting: 'designers',
        value: designer,
      });
    }
    const folder = packageFolder(designer);
    const list = JSON.parse(await readFile(join(folder, 'emoji.json'), 'utf8')) as EmojiEntry[];
    folders.push({ designer, folder, list });
  }
  // One root for all packages, so that the set is a list of relative paths like any other.
  const root = dirname(folders[0]!.folder);
  const classes = [...new Set(folders[0]!.list.map((entry) => entry.category))].sort();
  const entries: FileEntry[] = [];
  for (const { designer, folder, list } of folders) {
    const drawn = list
      .filter((entry) => entry[`has_img_${designer}`])
      .map((entry) => ({ codepoints: entry.image.replace(/\.png$/, ''), category: entry.category }))
      .filter(({ codepoints }) => isHeldOutEmoji(codepoints) === (split === 'test'))
      .sort((a, b) => (a.codepoints < b.codepoints ? -1 : 1));
    for (const { codepoints, category } of drawn) {
      const file = join(folder, 'img', designer, '64', `${codepoints}.png`);
      entries.push({
        path: relative(root, file),
        id: `${designer}/${codepoints}`,
        label: classes.indexOf(category),
      });
    }
  }
  const source: DatasetSpec = { data: 'emoji', split, options: { designers: [...new Set(designers)] } };
  return fileDataset('emoji', root, entries, source, classes);
}

function packageFolder(designer: Designer): string {
  const name = `emoji-datasource-${designer}`;
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch {
    throw new DataError(`emoji: package ${name} is not installed; install it with: npm install ${name}`, {
      code: 'package-missing',
    });
  }
}
