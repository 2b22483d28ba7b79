/// <reference types="node" />
/** What a run is can be told in a browser: no file of this package, or of what it takes from others, needs Node. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

it('is bundled from sources of core, data, encoders and itself alone', async () => {
  const { metafile } = await build({
    entryPoints: [source('run/src/index.ts')],
    absWorkingDir: resolve(source('.')),
    alias: {
      '@moco-ts/core': source('core/src/index.ts'),
      '@moco-ts/data/portable': source('data/src/portable.ts'),
      '@moco-ts/encoders': source('encoders/src/index.ts'),
    },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'browser',
    format: 'esm',
    logLevel: 'silent',
  });
  const inputs = Object.keys(metafile.inputs);
  expect(inputs).toContain('data/src/views/kernels.ts');
  expect(inputs.filter((path) => !/^(core|data|encoders|run)\/src\//.test(path))).toEqual([]);
  expect(Object.values(metafile.outputs).flatMap((output) => output.imports)).toEqual([]);
});
