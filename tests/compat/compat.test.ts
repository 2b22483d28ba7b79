/**
 * Files of earlier versions open and are gone on with, and what comes of them is what it was: `fixtures/VERSION` holds the
 * files and, in `expected.json`, what that version itself came to. See make.ts.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cases } from './cases.ts';
import { registerSmallEncoders } from './encoders.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const { version } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../packages/cli/package.json'), 'utf8'),
) as { version: string };
const work = mkdtempSync(join(tmpdir(), 'moco-compat-'));
const home = process.cwd();

beforeAll(registerSmallEncoders);
afterAll(() => {
  process.chdir(home);
  rmSync(work, { recursive: true, force: true });
});

describe.each(readdirSync(fixtures))('files of %s', (name) => {
  const expected = JSON.parse(readFileSync(join(fixtures, name, 'expected.json'), 'utf8'));

  beforeEach(() => {
    process.chdir(home);
    rmSync(join(work, name), { recursive: true, force: true });
    cpSync(join(fixtures, name), join(work, name), { recursive: true });
    process.chdir(join(work, name));
    // An index is of a file of that very time.
    const { modified } = JSON.parse(readFileSync('vectors.npy.usearch.json', 'utf8'));
    utimesSync('vectors.npy', modified / 1000, modified / 1000);
    // Of set purpose no version goes on with the vectors of another.
    const job = join('unfinished.npy.partial', 'job.json');
    writeFileSync(job, JSON.stringify({ ...JSON.parse(readFileSync(job, 'utf8')), version }));
  });

  it('are those of all cases', () => {
    expect(Object.keys(expected)).toEqual(cases.map(({ name }) => name));
  });

  it.each(cases)('$name', async ({ name, digits, run }) => {
    const result = await run();
    // As JSON has it: there is no -0.
    const plain = JSON.parse(JSON.stringify(result));
    expect(plain).toEqual(digits === undefined ? expected[name] : about(expected[name], digits));
  });
});

/** The same with numbers that need to agree in some decimals alone. */
function about(value: unknown, digits: number): unknown {
  if (typeof value === 'number') return expect.closeTo(value, digits);
  return Array.isArray(value) ? value.map((item) => about(item, digits)) : value;
}
