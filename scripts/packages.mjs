/** The packages of the workspace, and which of their files are for tests. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const parent = join(root, 'packages');

/** Each package's folder and manifest, in the order of the folders' names. */
export function packages() {
  return readdirSync(parent)
    .map((name) => join(parent, name))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({
      folder,
      manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
    }));
}

/** Packs all packages into a folder, as they would be published. @returns of each name its archive, and the paths in it */
export function packAll(destination) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const pnpm = ['exec', '--yes', `--package=${packageManager}`, '--', 'pnpm'];
  const pack = [
    '--recursive',
    '--filter',
    './packages/*',
    'pack',
    '--json',
    '--pack-destination',
    destination,
  ];
  const { status, stdout, stderr } = spawnSync('npm', [...pnpm, ...pack], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    shell: process.platform === 'win32',
  });
  if (status !== 0) throw new Error(`pnpm pack failed: ${stderr || stdout}`);
  const packed = JSON.parse(stdout).map(({ name, filename: archive, files }) => [
    name,
    { archive, files: files.map(({ path }) => path) },
  ]);
  return Object.fromEntries(packed);
}

/** `x.test.ts` and the like, `testing.ts`, `browser-testing.ts`, and what they are compiled to. */
export const forTests =
  /(\.(test|page|gpu|native|cuda|chromium|web|xla)|(^|[/-])testing)\.(js|mjs|ts|d\.ts)$/;
