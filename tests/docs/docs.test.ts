/** What the documents say can be done: links lead somewhere, commands have their flags, code runs on the oldest Node. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transform } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { createProgram, namedPlugins } from '../../packages/cli/src/main.ts';
import { loadPlugins } from '../../packages/node/src/plugins.ts';
import {
  anchors,
  commandLines,
  documents,
  inlineCode,
  links,
  readDocument,
  root,
  shellWords,
} from './markdown.ts';

const silent = { out: () => {}, err: () => {}, live: false, color: false };
const exists = (path: string) => existsSync(join(root, path));

/** The command with nothing behind its flags. */
function parser() {
  const program = createProgram(silent, () => {});
  for (const command of program.commands) command.action(() => {});
  return program;
}

const flagsOf = (command: ReturnType<typeof parser>) => [
  '-h',
  '--help',
  ...command.options.flatMap(({ short, long }) => [short ?? [], long ?? []].flat()),
];
const commands = new Map(parser().commands.map((command) => [command.name(), new Set(flagsOf(command))]));
const known = new Set([...commands.values()].flatMap((flags) => [...flags]));

/** Flags of the repository's own programs, which parse them by hand. */
const programs = ['scripts', 'benchmarks', 'parity', 'tests/faults']
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(mjs|ts|py|sh)$/.test(path) && !path.includes('node_modules'))
      .map((path) => readFileSync(join(root, folder, path), 'utf8')),
  )
  .join('\n');

it('finds the documents', () => {
  expect(documents.length).toBeGreaterThan(25);
  expect(documents.flatMap(commandLines).filter(({ words }) => words[0] === 'moco').length).toBeGreaterThan(
    25,
  );
});

describe('links', () => {
  it('lead to files and headings that there are', () => {
    const broken = documents.flatMap((document) =>
      links(document)
        .filter(
          ({ path, anchor }) => !exists(path) || (anchor !== '' && !anchors(readDocument(path)).has(anchor)),
        )
        .map(({ path, anchor }) => `${document.path}: ${path}${anchor && `#${anchor}`}`),
    );
    expect(broken).toEqual([]);
  });

  // Those of packages are pages of the registry.
  it('lead from README.md to every document', () => {
    const byPath = new Map(documents.map((document) => [document.path, document]));
    const reached = new Set(['README.md']);
    for (const path of reached)
      for (const link of byPath.has(path) ? links(byPath.get(path)!) : []) {
        reached.add(link.path);
        reached.add(join(link.path, 'README.md'));
      }
    const lost = documents
      .map(({ path }) => path)
      .filter((path) => !/^packages\//.test(path) && !reached.has(path));
    expect(lost).toEqual([]);
  });
});

describe('commands', () => {
  const lines = documents.flatMap((document) =>
    commandLines(document).map((line) => ({ ...line, folder: join(document.path, '..') })),
  );

  it('of moco are ones that it takes, plugins included', async () => {
    const mine = lines.filter(({ words }) => words[0] === 'moco' && !words.some((word) => /[[|]/.test(word)));
    for (const { words, at } of mine) {
      // A package's folder means what is built of it.
      await loadPlugins(namedPlugins(words.slice(1)));
      await expect(
        parser().parseAsync(words.slice(1), { from: 'user' }),
        `${at}: ${words.join(' ')}`,
      ).resolves.toBeDefined();
    }
  });

  it('in running text and in synopses have flags that there are', () => {
    const wrong = documents.flatMap((document) =>
      [...inlineCode(document).map(shellWords), ...commandLines(document).map(({ words }) => words)].flatMap(
        (words) => {
          const [first = '', command = ''] = words;
          const flags = words.flatMap((word) => word.match(/^\[?(--?[a-z][a-z0-9-]*)/)?.[1] ?? []);
          if (first === 'moco' && /^[a-z]/.test(command)) {
            const own = commands.get(command);
            return own === undefined
              ? [`${document.path}: moco ${command}`]
              : flags
                  .filter((flag) => !own.has(flag))
                  .map((flag) => `${document.path}: moco ${command} ${flag}`);
          }
          // A flag on its own: of some command, or of a program of the repository.
          return first.startsWith('--')
            ? flags
                .filter((flag) => !known.has(flag) && !programs.includes(flag))
                .map((flag) => `${document.path}: ${flag}`)
            : [];
        },
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('of Node, npm and shells name files and scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const fromText = documents.flatMap((document) =>
      inlineCode(document)
        .map(shellWords)
        .map((words) => ({ words, at: document.path, folder: join(document.path, '..') })),
    );
    const missing = [...lines, ...fromText].flatMap(({ words, at, folder }) => {
      const place = `${at}: ${words.join(' ')}`;
      const [program = '', first = '', second = ''] = words;
      if ((program === 'npm' || program === 'pnpm') && (first === 'run' || first.startsWith('test')))
        return scripts[first === 'run' ? second : first] === undefined ? [place] : [];
      const file = program === 'node' || program === 'python' ? first : program;
      const isPath = /^[\w./-]+\.(mjs|sh|js|py)$/.test(file) && file.includes('/') && !file.startsWith('/');
      return isPath && !exists(file) && !exists(join(folder, file)) && !exists(`packages/cli/${file}`)
        ? [place]
        : [];
    });
    expect(missing).toEqual([]);
  });

  it("run by npx nobody else's package", () => {
    const ours = /^(moco-ts|@moco-ts\/[a-z-]+)$/;
    const local = new Set(['vite', 'tsc', 'biome', 'vitest', 'changeset']);
    const strange = lines.flatMap(({ words, at }) => {
      const name = words.find((word, i) => i > 0 && !word.startsWith('-')) ?? '';
      return words[0] === 'npx' && !ours.test(name) && !local.has(name) ? [`${at}: ${words.join(' ')}`] : [];
    });
    expect(strange).toEqual([]);
  });
});

describe('code', () => {
  const blocks = documents
    .flatMap((document) => document.blocks)
    .filter(({ language }) => /^(js|ts|mjs|javascript|typescript)$/.test(language));

  // Syntax that Node 20 lacks is what a compiler must lower for it.
  it('is syntax of Node 20', async () => {
    const options = { loader: 'ts', format: 'esm' } as const;
    for (const { text, at } of blocks) {
      const { code } = await transform(text, { ...options, target: 'esnext' });
      expect((await transform(text, { ...options, target: 'node20.19' })).code, at).toBe(code);
    }
  });

  it('imports what packages export', async () => {
    for (const { text, at } of blocks)
      for (const [, names = '', name = ''] of text.matchAll(
        /^import \{([^}]+)\} from '((?:@moco-ts\/|moco-ts)[^']*)'/gm,
      )) {
        const values = names
          .split(',')
          .map((one) => one.trim())
          .filter((one) => !one.startsWith('type '));
        const module = name === 'moco-ts' ? 'moco' : name.replace('@moco-ts/', '');
        const exported = Object.keys(await import(join(root, 'packages', module, 'src', 'index.ts')));
        expect(exported, `${at}: ${name}`).toEqual(expect.arrayContaining(values));
      }
  });
});

it('examples have as many lines as is said', () => {
  const claims = documents.flatMap(({ path, prose }) =>
    [...prose.matchAll(/([^.]*)\bin (\d+) lines\b([^.]*)/g)].map(([claim, , lines]) => ({
      path,
      claim,
      lines: Number(lines),
    })),
  );
  const length = readFileSync(join(root, 'examples/encoder-mixer/index.js'), 'utf8')
    .trimEnd()
    .split('\n').length;
  for (const { path, claim, lines } of claims) expect([path, claim, lines]).toEqual([path, claim, length]);
});
