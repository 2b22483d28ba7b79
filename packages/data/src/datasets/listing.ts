/** Contents of folders: images, folders, and files that are skipped. */
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { counted } from '@moco-ts/core';
import { isImageName } from '../decode.ts';
import { HEIC_EXTENSIONS, HEIC_HINT } from '../formats/heic.ts';
import { ifMissing, patiently } from '../machine.ts';
import { nameOfBytes, nameOfText, pathOf } from './names.ts';

export interface Listing {
  /** Relative to the root, with `/`, as {@link pathOf} takes them; in no order. */
  readonly paths: string[];
  /** Files that are no image by their names: how many of each extension (`.heic`). */
  readonly passedBy: Map<string, number>;
}

/** The images below a folder. Links are followed, each linked folder once. */
export async function listImages(root: string): Promise<Listing> {
  const listing: Listing = { paths: [], passedBy: new Map() };
  await walk(root, '', listing, new Set());
  return listing;
}

/** Those of some folders in a folder that hold an image, at any depth. */
export async function withImages(root: string, folders: readonly string[]): Promise<string[]> {
  const seen = new Set<string>();
  const paths: string[] = [];
  for (const name of folders) {
    const first: Listing = { paths: [], passedBy: new Map() };
    // A folder without read permission is no reason to refuse its siblings.
    if (!SYSTEM_FOLDERS.has(name)) await walk(root, name, first, seen, 1).catch(ifMissing);
    if (first.paths.length > 0) paths.push(name);
  }
  return paths;
}

/** Names of the folders in a folder, and of links to folders. */
export async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name, entry } of await entriesOf(folder, '')) {
    if (entry.isDirectory() || (entry.isSymbolicLink() && (await kindOf(folder, name)) === 'folder'))
      names.push(name);
  }
  return names;
}

/** What systems put beside files: thumbnails and resource forks, no images of the user's. */
const SYSTEM_FOLDERS = new Set(['@eaDir', '__MACOSX', '#recycle', '$RECYCLE.BIN']);
const SYSTEM_FILES = new Set(['Thumbs.db', 'desktop.ini', 'Icon\r']);

/** Collects, until there are `most` images. */
async function walk(
  root: string,
  under: string,
  listing: Listing,
  seen: Set<string>,
  most = Number.POSITIVE_INFINITY,
): Promise<void> {
  for (const { name, entry } of await entriesOf(root, under)) {
    if (listing.paths.length >= most) return;
    if (SYSTEM_FOLDERS.has(name)) continue;
    const path = under === '' ? name : `${under}/${name}`;
    // Pipes and devices, and links to them, are no images even if named like one: reading one may never end.
    const kind = entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : undefined;
    if (kind === 'folder') await walk(root, path, listing, seen, most);
    else if (kind === undefined && !entry.isSymbolicLink()) continue;
    else {
      const target = kind ?? (await kindOf(root, path));
      if (target === 'folder') {
        const real = (await realpath(pathOf(root, path), { encoding: 'buffer' })).toString('latin1');
        if (seen.has(real)) continue;
        seen.add(real);
        await walk(root, path, listing, seen, most);
      } else if (target === 'other' || SYSTEM_FILES.has(name)) continue;
      else if (isImageName(name)) listing.paths.push(path);
      else if (target === 'file') {
        const extension = /[^.](\.[^.]{1,20})$/.exec(name)?.[1]?.toLowerCase() ?? '';
        listing.passedBy.set(extension, (listing.passedBy.get(extension) ?? 0) + 1);
      }
    }
  }
}

/** What a link leads to. A link to nothing is `none`, and is reported as a damaged image. */
async function kindOf(root: string, path: string): Promise<'file' | 'folder' | 'other' | 'none'> {
  const target = await patiently(path, () => stat(pathOf(root, path))).catch(ifMissing);
  if (target === undefined) return 'none';
  return target.isFile() ? 'file' : target.isDirectory() ? 'folder' : 'other';
}

interface Entry {
  readonly name: string;
  readonly entry: Pick<Dirent, 'isFile' | 'isDirectory' | 'isSymbolicLink'>;
}

/** The entries of a folder, except hidden ones. */
async function entriesOf(root: string, under: string): Promise<Entry[]> {
  const path = pathOf(root, under);
  const entries = await patiently(under || root, () => readdir(path, { withFileTypes: true }));
  const read: Entry[] = entries.some(({ name }) => name.includes('\ufffd'))
    ? (await patiently(under || root, () => readdir(path, { withFileTypes: true, encoding: 'buffer' }))).map(
        (entry) => ({ name: nameOfBytes(entry.name as unknown as Buffer), entry }),
      )
    : entries.map((entry) => ({ name: nameOfText(entry.name), entry }));
  return read.filter(({ name }) => !name.startsWith('.'));
}

/** Most extensions that one line names. */
const NAMED = 5;

/** `50 files passed by: 30 .heic, 20 .xcf`; undefined where all are images. */
export function passedByNote(passedBy: ReadonlyMap<string, number>): string | undefined {
  const counts = [...passedBy].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  if (counts.length === 0) return undefined;
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const named = counts
    .slice(0, NAMED)
    .map(([extension, count]) => `${count} ${extension || 'without an extension'}`);
  const rest = counts.slice(NAMED).reduce((sum, [, count]) => sum + count, 0);
  if (rest > 0) named.push(`${rest} others`);
  const heic = HEIC_EXTENSIONS.some((extension) => passedBy.has(`.${extension}`));
  const hint = heic ? `; to read HEIC, beside MoCo.ts: ${HEIC_HINT}` : '';
  return `${counted(total, 'file')} passed by: ${named.join(', ')}${hint}`;
}
