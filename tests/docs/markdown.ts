/** The documents of the repository, and what in them can be checked. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export interface Block {
  /** What stands behind the fence: `js`, `sh`; empty for an indented block. */
  readonly language: string;
  readonly text: string;
  /** `docs/search.md:12` */
  readonly at: string;
}

export interface Document {
  /** From the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
  /** The text without its blocks, so that what looks like a link in code is none. */
  readonly prose: string;
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm;
const INDENTED = /(?<=\n\n)(?: {4}.*\n)+/g;

/** @param path from the repository's root */
export function readDocument(path: string): Document {
  const text = readFileSync(join(root, path), 'utf8');
  const at = (offset: number) => `${path}:${text.slice(0, offset).split('\n').length}`;
  const blank = (block: string) => block.replace(/[^\n]/g, ' ');
  const blocks: Block[] = [];
  const unfenced = text.replace(FENCE, (fenced, language: string, body: string, offset: number) => {
    blocks.push({ language, text: body, at: at(offset) });
    return blank(fenced);
  });
  const prose = unfenced.replace(INDENTED, (body, offset: number) => {
    if (body.trim() !== '') blocks.push({ language: '', text: body.replace(/^ {4}/gm, ''), at: at(offset) });
    return blank(body);
  });
  return { path, text, blocks, prose };
}

/** All Markdown files that git knows or would take, but for reports and what `npx changeset` writes. */
export const documents = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '*.md', ':!etc/api', ':!.changeset'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\n')
  .filter(Boolean)
  .map(readDocument);

/** Targets of links and images, without those of other sites; paths from the root, with their anchors. */
export const links = ({ path, prose }: Document): { readonly path: string; readonly anchor: string }[] =>
  [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1]!)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = '', anchor = ''] = target.split('#');
      return { path: file === '' ? path : posix.join(posix.dirname(path), file), anchor };
    });

/** The anchors that a document's headings have on the usual hosts. */
export const anchors = ({ prose }: Document): Set<string> =>
  new Set(
    [...prose.matchAll(/^#+ (.*)$/gm)].map((match) =>
      match[1]!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replace(/ /g, '-'),
    ),
  );

/** `code` in running text. */
export const inlineCode = ({ prose }: Document): string[] =>
  [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1]!);

export interface CommandLine {
  readonly words: readonly string[];
  readonly at: string;
}

/** The lines of a shell's blocks, continued ones joined, without comments, prompts and assignments. */
export const commandLines = ({ blocks }: Document): CommandLine[] =>
  blocks
    .filter(({ language }) => language === 'sh' || language === '')
    .flatMap(({ text, at }) =>
      text
        .replace(/\\\n\s*/g, ' ')
        .split('\n')
        .map((line) => ({ words: shellWords(line), at })),
    )
    .filter(({ words }) => words.length > 0);

/** The words of one plain line of a shell: quotes are honoured, a comment ends it, no expansion. */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  for (const [word] of line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)) {
    if (word.startsWith('#')) break;
    words.push(word.replace(/["']/g, ''));
  }
  while (/^[A-Z_]+=/.test(words[0] ?? '')) words.shift();
  return words;
}
