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
        /^[^/]+\/src\/.*\.ts$/.test(path) && !/\.(test|gpu|native|cuda|page|chromium|xla)\.ts$/.test(path),
    )
    .filter((path) => !/\/(testing|browser-testing)\.ts$/.test(path))
    .map((path) => [relative(root, join(root, path)), readFileSync(join(root, path), 'utf8')]),
);

const using = (pattern: RegExp) =>
  [...sources].flatMap(([path, text]) => (pattern.test(text) ? [path] : [])).sort();

describe('the sources', () => {
  it('are looked at', () => {
    expect(sources.size).toBeGreaterThan(150);
    expect(using(/export async function train\(/)).toEqual(['node/src/train.ts']);
  });

  it('run no text as code', () => {
    expect(using(/\beval\(|new Function\(|\bvm\b.*from 'node:vm'|node:vm/)).toEqual([]);
  });

  it('start no shell, and programs by fixed names alone', () => {
    expect(using(/(?<![.\w])exec(Sync)?\(|shell:\s*true/)).toEqual([]);
    // The GPU's name, and programs of ours.
    expect(using(/from 'node:child_process'/)).toEqual(['data/src/loader/helper.ts', 'node/src/backends.ts']);
  });

  it('know their own programs by their own paths', () => {
    expect(using(/process\.argv\[1\]|process\.execArgv|createRequire\([^)]*cwd/)).toEqual([
      // A plugin's name is the user's own word.
      'node/src/plugins.ts',
    ]);
  });

  it('import what a name says in few places: plugins that the user named, and optional engines', () => {
    expect(using(/import\((\/\*.*\*\/ )?[a-z]/)).toEqual([
      'backend-tfjs/src/native.ts',
      'backend-webgpu/src/plugin.ts',
      // The decoder of HEIC, by its own name, from beside us.
      'data/src/formats/heic.ts',
      'node/src/plugins.ts',
    ]);
  });
});

it('ONNX Runtime is loaded in one place, and wherever else with its telemetry off', () => {
  const top = join(root, '..');
  const files = ['packages', 'apps', 'examples', 'scripts', 'benchmarks', 'tests', 'parity', 'docs']
    .flatMap((folder) => walk(join(top, folder)))
    .concat(join(top, 'README.md'))
    .filter((path) => /\.([cm]?[jt]s|md|py)$/.test(path));
  expect(files.length).toBeGreaterThan(300);
  const loading =
    /^(?!import type\b).*(\bfrom |\(\s*)['"]onnxruntime-node['"]|^\s*import onnxruntime\b|\)\(\s*['"]onnxruntime-node['"]/m;
  const loaders = new Map(
    files
      .map((path) => [relative(top, path), readFileSync(path, 'utf8')] as const)
      .filter(([path, text]) => loading.test(text) && path !== relative(top, import.meta.filename)),
  );
  expect([...loaders.keys()].sort()).toEqual([
    'README.md',
    'examples/onnx-service/index.js',
    'packages/backend-ort/src/runtime.ts',
    // The page beside an exported model.
    'packages/node/src/model-card.ts',
    'parity/onnx_check.py',
    'parity/tokens.py',
  ]);
  for (const [path, text] of loaders) expect(text, path).toContain('ORT_DISABLE_TELEMETRY');
});

/** What is generated is no source: the docs of the API hold copies of examples. */
const ignored = readFileSync(join(root, '../.gitignore'), 'utf8')
  .split('\n')
  .filter((line) => line.endsWith('/'))
  .map((line) => line.slice(0, -1));

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (/^(reference|\..*)$/.test(entry.name)) return [];
    if (ignored.includes(entry.name) || ignored.includes(relative(join(root, '..'), path))) return [];
    return entry.isDirectory() ? walk(path) : [path];
  });
}

it('a checkpoint that names __proto__ changes no object but its own', () => {
  const saved = resolveConfig({ data: 'emoji' }, { source: { data: 'emoji', split: 'train' } });
  const hostile = JSON.parse(
    JSON.stringify(saved).replace('{', '{"__proto__":{"polluted":true},'),
  ) as typeof saved;
  resumeConfig(hostile, {}, 'checkpoint');
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});
