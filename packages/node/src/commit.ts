/**
 * The commit of a work tree, read from git's files: git itself would run programs that a `.git/config` names, and that file
 * may be anybody's, in a folder of images or above it.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** What is larger is not a file of git's that this needs. */
const MOST_BYTES = 2 ** 24;
/** References to references. */
const MOST_STEPS = 5;

/**
 * @param folder in a work tree
 * @returns its commit as hex digits; undefined outside a work tree, before a first commit, or where git keeps its references in
 * another form than files
 */
export function currentCommit(folder = process.cwd()): string | undefined {
  const git = gitFolder(resolve(folder));
  if (git === undefined) return undefined;
  // Of a linked work tree: where the references are.
  const common = textOf(join(git, 'commondir'));
  const places = common === undefined ? [git] : [git, resolve(git, common)];
  let text = textOf(join(git, 'HEAD'));
  for (let step = 0; step < MOST_STEPS && text !== undefined; step++) {
    if (isCommit(text)) return text;
    const name = /^ref: (refs\/[^\0]+)$/.exec(text)?.[1];
    if (name === undefined || name.split('/').includes('..')) return undefined;
    text = reference(places, name);
  }
  return undefined;
}

const isCommit = (text: string) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text);

/** The nearest `.git`, a folder or a file that names one. */
function gitFolder(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const path = join(at, '.git');
    const linked = /^gitdir: (.+)$/.exec(textOf(path) ?? '')?.[1];
    if (linked !== undefined) return resolve(at, linked);
    if (textOf(join(path, 'HEAD')) !== undefined) return path;
    if (dirname(at) === at) return undefined;
  }
}

function reference(places: readonly string[], name: string): string | undefined {
  for (const place of places) {
    const text = textOf(join(place, name));
    if (text !== undefined) return text;
  }
  for (const place of places) {
    const lines = textOf(join(place, 'packed-refs'))?.split('\n') ?? [];
    const line = lines.find((each) => each.trimEnd().endsWith(` ${name}`));
    if (line !== undefined) return line.split(' ')[0];
  }
  return undefined;
}

/** A small regular file's text without its last line break; undefined for all else, such as a pipe, which would never end. */
function textOf(path: string): string | undefined {
  try {
    const facts = statSync(path);
    return facts.isFile() && facts.size <= MOST_BYTES ? readFileSync(path, 'utf8').trimEnd() : undefined;
  } catch {
    return undefined;
  }
}
