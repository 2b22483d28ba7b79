/** Whoever imports the library loads no command line and no plots: what its modules reach, lazily too, is followed in the sources. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The packages of this project, and those of others, that a module leads to; `first` are ours without what is loaded later, `firstOthers`
 * theirs. */
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
  const first = new Set([entry]);
  const firstOthers = new Set<string>();
  // Iterating a Set also visits what is added meanwhile.
  for (const path of first)
    for (const { kind, external, path: next } of metafile.inputs[path]!.imports)
      if (kind === 'import-statement') (external ? firstOthers : first).add(next);
  const packagesOf = (paths: Iterable<string>) => new Set(Array.from(paths, (path) => path.split('/')[0]));
  return {
    own: packagesOf(Object.keys(metafile.inputs)),
    first: packagesOf(first),
    firstOthers,
    others: new Set(imports.filter(({ external }) => external).map(({ path }) => path)),
  };
}

/** What shows things to people. */
const forPeople = ['commander', 'linkedom', '@observablehq/plot', 'log-update', 'picocolors', 'umap-js'];

it('the library reaches no command, terminal or plot', async () => {
  const { own, others } = await reached('moco/src/index.ts');
  expect([...own].sort()).toEqual([
    ...['backend-ort', 'backend-tfjs', 'backend-webgpu', 'backend-xla', 'core', 'data'],
    ...['distributed', 'encoders', 'exchange', 'moco', 'node', 'onnx', 'run'],
  ]);
  expect(others).toContain('sharp');
  expect(forPeople.filter((name) => others.has(name))).toEqual([]);
});

it('the library loads no backend, no ONNX and no MPI before it is asked for one', async () => {
  const { first, firstOthers, others } = await reached('moco/src/index.ts');
  expect([...first].sort()).toEqual([
    ...['core', 'data', 'distributed', 'encoders', 'exchange', 'moco', 'node', 'run'],
  ]);
  // By which MPI is called.
  expect(firstOthers).not.toContain('koffi');
  expect(others).toContain('koffi');
});

it('the command of the package reaches them all', async () => {
  const { own, others } = await reached('moco/src/bin.ts');
  expect(own).toContain('cli');
  expect(forPeople.filter((name) => others.has(name))).toEqual(forPeople);
});
