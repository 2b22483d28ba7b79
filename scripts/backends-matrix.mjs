// Writes the matrix of docs/backends.md: which ops of the conformance kit pass on which backend, as the tests found it.
//
//   node scripts/backends-matrix.mjs REPORT.json...    reports of vitest's json reporter, one or several kits in each
//
// Columns of backends without a report keep what they had.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', 'docs', 'backends.md');
const [begin, end] = ['<!-- matrix -->', '<!-- end of matrix -->'];
/** Columns in this order; others follow. */
const order = [
  'ort',
  'ort, 1 thread',
  'ort, plain NCHW',
  'ort:webgpu',
  'tfjs:cpu',
  'tfjs:wasm',
  'tfjs:node',
  'webgpu',
];
/** What is no op comes last. */
const last = ['chain', 'state', 'buffers', 'feeds', 'a training step', 'determinism'];

const reports = process.argv.slice(2);
if (reports.length === 0) {
  console.error('name the reports: vitest run --reporter=json --outputFile=REPORT.json ...');
  process.exit(2);
}
const text = readFileSync(path, 'utf8');
/** Counts by row and backend. */
const cells = new Map();
const columns = new Set();
readTable(text.slice(text.indexOf(begin) + begin.length, text.indexOf(end)));
for (const report of reports) readReport(JSON.parse(readFileSync(report, 'utf8')));
const table = render();
writeFileSync(
  path,
  `${text.slice(0, text.indexOf(begin) + begin.length)}\n${table}\n${text.slice(text.indexOf(end))}`,
);
console.log(`${path}: ${columns.size} backends, ${cells.size} rows`);

function readTable(markdown) {
  const rows = markdown
    .trim()
    .split('\n')
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  const [head = [], , ...body] = rows;
  for (const name of head.slice(1)) columns.add(name);
  for (const [row, ...values] of body)
    values.forEach((value, i) => {
      if (value) set(row.replaceAll('`', ''), head[i + 1], value);
    });
}

function readReport({ testResults }) {
  const counts = new Map();
  for (const { assertionResults } of testResults)
    for (const { ancestorTitles, status } of assertionResults) {
      const [backend, row] = ancestorTitles;
      if (row === undefined || backend === 'a trajectory of 5 steps') continue;
      const key = JSON.stringify([row, backend]);
      const [passed, all] = counts.get(key) ?? [0, 0];
      counts.set(key, [passed + (status === 'passed' ? 1 : 0), all + 1]);
    }
  for (const [key, [passed, all]] of counts) {
    const [row, backend] = JSON.parse(key);
    columns.add(backend);
    set(row, backend, passed === all ? `${all}` : `**${passed} of ${all}**`);
  }
}

function set(row, backend, value) {
  if (!cells.has(row)) cells.set(row, new Map());
  cells.get(row).set(backend, value);
}

function render() {
  const names = [...columns].sort((a, b) => rank(order, a) - rank(order, b));
  const rows = [...cells.keys()].sort((a, b) => last.indexOf(a) - last.indexOf(b) || (a < b ? -1 : 1));
  const line = (values) => `| ${values.join(' | ')} |`;
  return [
    line(['op', ...names]),
    line(['---', ...names.map(() => '--:')]),
    ...rows.map((row) =>
      line([last.includes(row) ? row : `\`${row}\``, ...names.map((name) => cells.get(row).get(name) ?? '')]),
    ),
  ].join('\n');
}

function rank(list, name) {
  const at = list.indexOf(name);
  return at < 0 ? list.length : at;
}
