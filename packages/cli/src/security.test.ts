/** What no source of a package may do, whatever a file or a flag says. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { resolveConfig, resumeConfig } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');

/** The packages' sources without tests, by their paths. */
const sources = new Map(
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter(
      (path) =>
        /^[^/]+\/src\/.*\.ts$/.test(path) && !/\.(test|gpu|native|cuda|page|chromium)\.ts$/.test(path),
    )
    .filter((path) => !/\/(testing|browser-testing)\.ts$/.test(path))
    .map((path) => [relative(root, join(root, path)), readFileSync(join(root, path), 'utf8')]),
);

const using = (pattern: RegExp) =>
  [...sources].flatMap(([path, text]) => (pattern.test(text) ? [path] : [])).sort();

describe('the sources', () => {
  it('are looked at', () => {
    expect(sources.size).toBeGreaterThan(150);
    expect(using(/export async function train\(/)).toEqual(['cli/src/run/train.ts']);
  });

  it('run no text as code', () => {
    expect(using(/\beval\(|new Function\(|\bvm\b.*from 'node:vm'|node:vm/)).toEqual([]);
  });

  it('start no shell, and programs by fixed names alone', () => {
    expect(using(/(?<![.\w])exec(Sync)?\(|shell:\s*true/)).toEqual([]);
    // The version of a work tree, the GPU's name, and this program again.
    expect(using(/from 'node:child_process'/)).toEqual([
      'cli/src/run/backends.ts',
      'cli/src/run/versions.ts',
      'data/src/loader/helper.ts',
    ]);
  });

  it('import what a name says in few places: plugins that the user named, and optional engines', () => {
    expect(using(/import\((\/\*.*\*\/ )?[a-z]/)).toEqual([
      'backend-tfjs/src/native.ts',
      'backend-webgpu/src/plugin.ts',
      'cli/src/run/plugins.ts',
      'cli/src/vectors/index-file.ts',
    ]);
  });
});

it('a checkpoint that names __proto__ changes no object but its own', () => {
  const saved = resolveConfig({ data: 'emoji' }, { source: { data: 'emoji', split: 'train' } });
  const hostile = JSON.parse(
    JSON.stringify(saved).replace('{', '{"__proto__":{"polluted":true},'),
  ) as typeof saved;
  resumeConfig(hostile, {}, 'checkpoint');
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
