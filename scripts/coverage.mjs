// Measures what the tests run of each package and fails where it is under 90 % of the lines.
// Further arguments go to vitest: `npm run coverage -- --project core` measures the tests of one package alone.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const required = 90;
const measured = ['core', 'onnx', 'data', 'run', 'node', 'cli'];
// Tests and what they share; map/script.ts runs in the page of a map, where a browser's tests (*.page.ts) see it.
const left = ['**/*.{test,gpu,native,cuda,page}.ts', '**/*testing.ts', 'packages/cli/src/map/script.ts'];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'moco-coverage-'));
const more = process.argv.slice(2);
const chosen = more.includes('--project') ? [] : measured.flatMap((name) => ['--project', name]);
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--coverage.enabled',
    '--coverage.provider=v8',
    '--coverage.reporter=json-summary',
    '--coverage.reportOnFailure',
    `--coverage.reportsDirectory=${folder}`,
    `--coverage.include=packages/{${measured}}/src/**/*.ts`,
    ...left.map((pattern) => `--coverage.exclude=${pattern}`),
    // Counting takes its time too.
    ...chosen,
    ...more,
  ],
  { cwd: root, stdio: 'inherit' },
);
let summary;
try {
  summary = JSON.parse(readFileSync(join(folder, 'coverage-summary.json'), 'utf8'));
} catch {
  console.error('the test runner wrote no coverage');
  process.exit(1);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const kinds = ['lines', 'branches', 'functions'];
const percent = ({ covered, total }) => (total === 0 ? 100 : (100 * covered) / total);
let low = false;
console.log(`\n${'package'.padEnd(8)}${kinds.map((kind) => kind.padStart(11)).join('')}   lines of`);
for (const name of measured) {
  const files = Object.entries(summary).filter(([path]) =>
    relative(root, path).startsWith(join('packages', name) + sep),
  );
  const sums = kinds.map((kind) =>
    files.reduce(
      (sum, [, file]) => ({
        covered: sum.covered + file[kind].covered,
        total: sum.total + file[kind].total,
      }),
      { covered: 0, total: 0 },
    ),
  );
  const columns = sums.map((sum) => `${percent(sum).toFixed(1)} %`.padStart(11)).join('');
  console.log(`${name.padEnd(8)}${columns}${String(sums[0].total).padStart(11)}`);
  if (percent(sums[0]) < required) {
    low = true;
    const least = files
      .map(([path, { lines }]) => ({ path: relative(root, path), missing: lines.total - lines.covered }))
      .sort((a, b) => b.missing - a.missing)
      .slice(0, 8);
    for (const { path, missing } of least)
      console.log(`  ${String(missing).padStart(4)} lines not run: ${path}`);
  }
}
if (low) console.log(`\nfailed: at least ${required} % of the lines are asked for`);
else if (status !== 0) console.log('\nfailed: so did tests, see above');
process.exit(low || status !== 0 ? 1 : 0);
