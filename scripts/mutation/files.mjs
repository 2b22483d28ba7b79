// What is mutated, and by which tests it is judged.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const core = 'packages/core/src';

/** The folders whose score is asked for, by what their paths begin with; the first that fits. */
export const folders = {
  optim: [`${core}/optim/`],
  ssl: [`${core}/ssl/`],
  ops: [`${core}/graph/ops/`],
  graph: [`${core}/graph/`, `${core}/grad.ts`, `${core}/passes/`],
};

export function folderOf(path) {
  return Object.keys(folders).find((name) => folders[name].some((start) => path.startsWith(start)));
}

/** Too slow for thousands of mutants, or about something else: bundling. */
const left = [`${core}/ssl/leak.test.ts`, `${core}/bundle.test.ts`];
/** The kit's own checks of core: gradients against finite differences, results against PyTorch. */
const kit = ['finite-differences', 'pytorch'].map((name) => `packages/backend-testing/src/${name}.test.ts`);

/** Test files relative to the root. */
export function testFiles(root) {
  return [...filesOf(root, (name) => name.endsWith('.test.ts') && !left.includes(name)), ...kit];
}

/** Sources of the given folders, relative to the root. */
export function sourceFiles(root, names) {
  const isSource = (name) => name.endsWith('.ts') && !/\.test\.ts$|\/index\.ts$/.test(name);
  return filesOf(root, (name) => isSource(name) && names.includes(folderOf(name)));
}

function filesOf(root, wanted) {
  const names = readdirSync(join(root, core), { recursive: true }).map((name) => `${core}/${name}`);
  return names.filter(wanted).sort();
}

/** Cases that take most of the time and say nothing that smaller ones don't: chains of ops, convolutions of 16 images and more. */
export const skipped = /^chain |^conv2d \[(16|32), /;
