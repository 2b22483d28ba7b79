// Runs the tests and closes with one plain line, `N passed, N failed`, taken from the runner's own report.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = mkdtempSync(join(tmpdir(), 'moco-test-'));
const report = join(folder, 'report.json');
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const given = process.argv.slice(2);
const shown = given.some((argument) => argument.startsWith('--reporter')) ? [] : ['--reporter=default'];
const args = ['run', ...shown, '--reporter=json', `--outputFile.json=${report}`];
const kit = `--reporter=${join(root, 'scripts', 'kit-reporter.mjs')}`;
const { status } = spawnSync(process.execPath, [vitest, ...args, kit, ...given], {
  cwd: root,
  stdio: 'inherit',
});
let summary;
try {
  summary = JSON.parse(readFileSync(report, 'utf8'));
} catch {
  console.error('the test runner wrote no report');
  process.exit(1);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const {
  numPassedTests: passed,
  numFailedTests: failedTests,
  numPendingTests: skipped,
  testResults,
} = summary;
// A file that fails to load has no tests, and counts as one failure.
const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
const failed = failedTests + broken.length;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(status !== 0 || failed > 0 || passed === 0 ? 1 : 0);
