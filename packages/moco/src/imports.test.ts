/** Whoever imports the library loads no command line and no plots: what its modules reach, lazily too, is followed in the sources. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The modules of this project, and those of others, that a module leads to. */
async function reached(entry: string) {
  const { metafile } = await build({
    entryPoints: [source(entry)],
    absWorkingDir: resolve(source('.')),
    // Ours are read where they are; others are named alone.
    plugins: [
      {
        name: 'sources',
        setup: ({ onResolve }) => {
          onResolve({ filter: /^@moco-ts\/[a-z-]+$/ }, ({ path }) => ({
            path: source(`${path.slice('@moco-ts/'.length)}/src/index.ts`),
          }));
          onResolve({ filter: /^@moco-ts\/(data\/portable|cli\/bin)$/ }, ({ path }) => {
            const [, name, part] = path.split('/');
            return { path: source(`${name}/src/${part}.ts`) };
          });
        },
      },
    ],
    packages: 'external',
    bundle: true,
    write: false,
    outdir: source('moco'),
    metafile: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  return {
    own: new Set(Object.keys(metafile.inputs).map((path) => path.split('/')[0])),
    others: new Set(imports.filter(({ external }) => external).map(({ path }) => path)),
  };
}

/** What shows things to people. */
const forPeople = ['commander', 'linkedom', '@observablehq/plot', 'log-update', 'picocolors', 'umap-js'];

it('the library reaches no command, terminal or plot', async () => {
  const { own, others } = await reached('moco/src/index.ts');
  expect([...own].sort()).toEqual([
    ...['backend-ort', 'backend-tfjs', 'backend-webgpu', 'backend-xla', 'core', 'data', 'encoders'],
    ...['exchange', 'moco', 'node', 'onnx', 'run'],
  ]);
  expect(others).toContain('sharp');
  expect(forPeople.filter((name) => others.has(name))).toEqual([]);
});

it('the command of the package reaches them all', async () => {
  const { own, others } = await reached('moco/src/bin.ts');
  expect(own).toContain('cli');
  expect(forPeople.filter((name) => others.has(name))).toEqual(forPeople);
});
