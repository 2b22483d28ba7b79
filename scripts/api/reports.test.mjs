import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { compareReports } from './reports.mjs';

const folder = mkdtempSync(join(tmpdir(), 'moco-api-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A built package; `hidden` is in a signature, and not exported. */
function build({ parameter = 'number', hidden = 'string', entries = ['.', './more'] }) {
  mkdirSync(join(folder, 'dist'), { recursive: true });
  const exports = Object.fromEntries(entries.map((path) => [path, { types: './dist/index.d.ts' }]));
  const manifest = { name: '@moco-ts/some', version: '0.0.0', type: 'module', exports };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(
    join(folder, 'dist', 'index.d.ts'),
    `interface Hidden { readonly name: ${hidden} }\nexport declare function some(x: ${parameter}): Hidden;\nexport {};\n`,
  );
}

const reports = join(folder, 'etc');
const compare = (update = false) => compareReports([folder], reports, update);

it('tells which entries changed or are gone, until the reports are written anew', () => {
  build({});
  expect(compare(true)).toEqual(['some-more.api.md', 'some.api.md']);

  build({ parameter: 'string', entries: ['.'] });
  expect(compare()).toEqual(['some-more.api.md', 'some.api.md']);
  expect(readFileSync(join(reports, 'some.api.md'), 'utf8')).toContain('some(x: number)');
  compare(true);
  expect(readdirSync(reports)).toEqual(['some.api.md']);
  expect(readFileSync(join(reports, 'some.api.md'), 'utf8')).toContain('some(x: string)');
  expect(compare()).toEqual([]);

  build({ parameter: 'string', hidden: 'boolean', entries: ['.'] });
  expect(compare()).toEqual(['some.api.md']);
});
