// The matrix of docs/backends.md: which ops of the conformance kit pass on which backend, as the tests found it.
//
//   node scripts/backends-matrix.mjs            writes what the tests left in coverage/kit (scripts/kit-reporter.mjs)
//   node scripts/backends-matrix.mjs --check    fails unless the table has the code's ops and backends, and the results' counts
//
// Columns of backends without results keep what they had. Build first.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { caseOps } from '../packages/backend-testing/dist/cases/index.js';
import { knownDevices } from '../packages/node/dist/index.js';
import { folder } from './kit-reporter.mjs';

const root = join(import.meta.dirname, '..');
const path = join(root, 'docs', 'backends.md');
const [begin, end] = ['<!-- matrix -->', '<!-- end of matrix -->'];
const NOT_RUN = 'not run here';
/** Rows about a whole kit, above the ops. */
const TOTALS = ['passed of run', 'worst error', 'tolerance of an op'];
/** What is no op comes last. */
const SUITES = ['chain', 'state', 'buffers', 'feeds', 'a training step', 'determinism'];
/** Known to the command, and no engine: the kit's own oracle. */
const ORACLE = 'reference';

const columns = columnsOfCode((await knownDevices()).map(({ name }) => name));
const rows = [...TOTALS, ...caseOps(), ...SUITES];
const text = readFileSync(path, 'utf8');
const table = readTable(text.slice(text.indexOf(begin) + begin.length, text.indexOf(end)));
const results = readResults();

if (process.argv[2] === '--check') check();
else write();

/** The kits that the packages run, in the order of `moco backends`; backends without one have a column as well. */
function columnsOfCode(devices) {
  const kits = readdirSync(join(root, 'packages')).flatMap((name) => {
    const sources = join(root, 'packages', name, 'src');
    if (!existsSync(sources)) return [];
    const files = readdirSync(sources).filter((file) => /^conformance\.\w+\.ts$/.test(file));
    const code = files.map((file) => readFileSync(join(sources, file), 'utf8')).join('\n');
    return [...new Set([...code.matchAll(/\bname: '([^']+)'/g)].map(([, kit]) => kit))];
  });
  return devices
    .filter((name) => name !== ORACLE)
    .flatMap((name) => {
      const own = kits.filter((kit) => kit.split(',')[0] === name);
      return own.length > 0 ? own : [name];
    });
}

/** Cells by column and row. */
function readTable(markdown) {
  const lines = markdown
    .trim()
    .split('\n')
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  const [head = [], , ...body] = lines;
  return new Map(
    head.slice(1).map((name, i) => [name, new Map(body.map(([row, ...cells]) => [row, cells[i] ?? '']))]),
  );
}

function readResults() {
  if (!existsSync(folder)) return new Map();
  const kits = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  return new Map(kits.map(({ backend, tolerance, rows: kitRows }) => [backend, cellsOf(kitRows, tolerance)]));
}

function cellsOf(kitRows, tolerance) {
  const all = Object.values(kitRows);
  const sum = (field) => all.reduce((total, row) => total + row[field], 0);
  const cells = new Map([
    [TOTALS[0], `${sum('passed')} of ${sum('run')}`],
    [TOTALS[1], share(Math.max(...all.map(({ error = 0 }) => error)))],
    [TOTALS[2], tolerance.toExponential()],
  ]);
  for (const [row, { passed, run, error }] of Object.entries(kitRows)) {
    const count = passed === run ? `${run}` : `**${passed} of ${run}**`;
    cells.set(row, error ? `${count} · ${share(error)}` : count);
  }
  return cells;
}

/** A part of the tolerance, in per cent of one digit or two. */
function share(error) {
  return `${error < 0.095 ? Number((100 * error).toPrecision(1)) : Math.round(100 * error)} %`;
}

function write() {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const cell = (row) => (column) =>
    (results.get(column) ?? table.get(column))?.get(row) || (row === TOTALS[0] ? NOT_RUN : '–');
  const label = (row) => (TOTALS.includes(row) || SUITES.includes(row) ? row : `\`${row}\``);
  const lines = [
    line(['', ...columns]),
    line(['---', ...columns.map(() => '--:')]),
    ...rows.map((row) => line([label(row), ...columns.map(cell(row))])),
  ];
  const [before, after] = [text.slice(0, text.indexOf(begin) + begin.length), text.slice(text.indexOf(end))];
  writeFileSync(path, `${before}\n${lines.join('\n')}\n${after}`);
  console.log(`${path}: ${columns.length} backends, ${results.size} of them from new results`);
}

function check() {
  const faults = [
    ...difference('a column for', columns, [...table.keys()]),
    ...difference('a row for', rows, [...(table.values().next().value?.keys() ?? [])]),
  ];
  const count = (cell) => cell?.split(' · ')[0];
  for (const [backend, cells] of results)
    for (const [row, cell] of cells) {
      if (TOTALS.includes(row) || SUITES.includes(row)) continue;
      const written = count(table.get(backend)?.get(row));
      if (written !== count(cell)) faults.push(`${backend}, ${row}: ${written} should be ${count(cell)}`);
    }
  if (faults.length === 0) return console.log('docs/backends.md is that of the code');
  for (const fault of faults) console.error(`docs/backends.md: ${fault}`);
  console.error('Run the kits (see the page), then node scripts/backends-matrix.mjs');
  process.exitCode = 1;
}

function difference(what, code, written) {
  return [
    ...code.filter((name) => !written.includes(name)).map((name) => `lacks ${what} ${name}`),
    ...written.filter((name) => !code.includes(name)).map((name) => `has ${what} ${name}, which is gone`),
  ];
}
