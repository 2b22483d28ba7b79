// What runs survive: each kind of fault, how often it was tried and survived, and the steps that were lost.
//
//   pnpm test:faults [--quick] [--only NAME,...] [--backend ort] [--seed 1] [--write]
//
// --backend: what the runs compute on. --quick takes some minutes, all of it about an hour, most of it for coverage and mutants. --write puts the table into docs/reliability.md. Needs a build.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as commands from './commands.mjs';
import * as damage from './damage.mjs';
import * as disk from './disk.mjs';
import * as files from './files.mjs';
import * as imageFaults from './images.mjs';
import * as interrupts from './interrupts.mjs';
import * as kills from './kills.mjs';
import * as large from './large.mjs';
import { computeOn, finish, flags, images } from './lib.mjs';
import * as lock from './lock.mjs';
import * as long from './long.mjs';
import { coverage, mutation } from './tests.mjs';
import * as workers from './workers.mjs';

const kinds = {
  kills,
  interrupts,
  commands,
  damage,
  large,
  disk,
  lock,
  images: imageFaults,
  workers,
  files,
  long,
  coverage,
  mutation,
};
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    backend: { type: 'string' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const asked = values.only?.split(',') ?? Object.keys(kinds);
const unknown = asked.find((key) => !Object.hasOwn(kinds, key));
if (unknown !== undefined) {
  console.error(`no kind "${unknown}"; there are: ${Object.keys(kinds).join(', ')}`);
  process.exit(2);
}
const chosen = Object.entries(kinds).filter(([key]) => asked.includes(key));
if (values.backend !== undefined) computeOn(values.backend);

const work = mkdtempSync(join(tmpdir(), 'moco-faults-'));
const rows = [];
let [passed, failed] = [0, 0];
try {
  const data = images(join(work, 'data'));
  const reference = join(work, 'whole');
  const undisturbed = await finish(flags(data, reference));
  if (undisturbed.code !== 0) throw new Error(`the undisturbed run failed: ${undisturbed.err}`);
  for (const [key, { name, run }] of chosen) {
    const started = performance.now();
    const { quick, backend, seed } = values;
    const result = await run({ work, data, reference, quick, backend, seed: Number(seed) });
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    if (result.notRun) {
      console.log(`${key}: not run: ${result.notRun}`);
      continue;
    }
    const { tried, survived, lost, files: read = 0, detail, failures } = result;
    for (const failure of failures) console.error(`${key}: ${failure}`);
    const steps = lost === '' ? '' : `, at most ${lost} steps lost`;
    console.log(`${key}: ${survived} of ${tried} survived${steps}; ${detail} (${seconds} s)`);
    passed += survived;
    failed += failures.length;
    rows.push([name, tried, survived, lost, read || '', detail]);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
if (values.write) write(rows);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** Rows of kinds that were not run now stay as they are. */
function write(rows) {
  const path = join(import.meta.dirname, '..', '..', 'docs', 'reliability.md');
  const [begin, end] = ['<!-- faults -->', '<!-- end of faults -->'];
  const text = readFileSync(path, 'utf8');
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const known = new Map(
    text
      .slice(from, to)
      .trim()
      .split('\n')
      .slice(2)
      .map((row) => [row.split('|')[1].trim(), row]),
  );
  for (const row of rows) known.set(row[0], line(row));
  const ordered = Object.values(kinds).flatMap(({ name }) => known.get(name) ?? []);
  const table = [
    line(['fault', 'tried', 'survived', 'steps lost, at most', 'files', '']),
    line(['---', '--:', '--:', '--:', '--:', '---']),
    ...ordered,
  ].join('\n');
  writeFileSync(path, `${text.slice(0, from)}\n${table}\n${text.slice(to)}`);
}
