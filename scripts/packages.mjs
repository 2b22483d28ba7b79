/** The packages of the workspace, and which of their files are for tests. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const parent = join(import.meta.dirname, '..', 'packages');

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

/** `x.test.ts` and the like, `testing.ts`, `browser-testing.ts`, and what they are compiled to. */
export const forTests =
  /(\.(test|page|gpu|native|cuda|chromium|web|xla)|(^|[/-])testing)\.(js|mjs|ts|d\.ts)$/;
