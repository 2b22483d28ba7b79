import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import projects from './vitest.workspace.ts';

// Tests read the sources, not dist/: no build is needed before a test.
const source = (name: string) => fileURLToPath(new URL(`./packages/${name}/src/index.ts`, import.meta.url));

/** No test may depend on how busy the machine is: only what hangs takes so long, in milliseconds. */
const HANG = 1_800_000;

export default defineConfig({
  resolve: {
    alias: [
      { find: /^@moco-ts\/([a-z-]+)$/, replacement: source('$1') },
      { find: /^moco-ts$/, replacement: source('moco') },
      { find: '@moco-ts/data/portable', replacement: source('data').replace('index', 'portable') },
    ],
  },
  test: {
    projects,
    testTimeout: HANG,
    hookTimeout: HANG,
    expect: { poll: { timeout: HANG } },
    pool: 'forks',
    maxWorkers: 2,
  },
});
