// Mutates core's graph, methods and optimizers and prints how many of the mutants the tests notice, by folder.
// Arguments: folders (`npm run mutation -- optim ssl`), default all; --survivors prints what was not noticed; --all
// forgets what earlier runs found. A mutant whose code and tests are as they were is not run again.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { folderOf, folders } from './mutation/files.mjs';

const required = 80;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, 'coverage', 'mutation');
const args = process.argv.slice(2);
const chosen = args.filter((arg) => !arg.startsWith('--'));
const unknown = chosen.find((name) => !folders[name]);
if (unknown) {
  console.error(`there is no folder "${unknown}"; known are: ${Object.keys(folders).join(', ')}`);
  process.exit(2);
}
if (args.includes('--all')) rmSync(output, { recursive: true, force: true });
const report = join(output, 'report.json');
rmSync(report, { force: true });

const stryker = join(root, 'node_modules', '@stryker-mutator', 'core', 'bin', 'stryker.js');
spawnSync(process.execPath, [stryker, 'run', join('scripts', 'mutation', 'stryker.config.mjs')], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, MOCO_MUTATE: chosen.join() },
});
let files;
try {
  ({ files } = JSON.parse(readFileSync(report, 'utf8')));
} catch {
  console.error('the run wrote no report');
  process.exit(1);
}

const columns = ['mutants', 'killed', 'timeout', 'survived', 'not run', 'score'];
const width = 10;
const row = (name, cells) =>
  console.log(name.padEnd(10) + cells.map((cell) => String(cell).padStart(width)).join(''));
console.log();
row('folder', columns);

let failed = false;
const tally = (name, mutants) => {
  const count = (...status) => mutants.filter((mutant) => status.includes(mutant.status)).length;
  const [killed, timeout] = [count('Killed', 'RuntimeError'), count('Timeout')];
  const [survived, uncovered] = [count('Survived'), count('NoCoverage')];
  const total = killed + timeout + survived + uncovered;
  const score = (100 * (killed + timeout)) / total;
  if (!(score >= required)) failed = true;
  row(name, [total, killed, timeout, survived, uncovered, `${score.toFixed(1)} %`]);
};
const all = Object.entries(files).flatMap(([path, { mutants }]) =>
  mutants.map((mutant) => ({ ...mutant, path })),
);
for (const name of Object.keys(folders)) {
  const mutants = all.filter(({ path }) => folderOf(path) === name);
  if (mutants.length > 0) tally(name, mutants);
}
tally('all', all);

if (args.includes('--survivors'))
  for (const { path, status, location, mutatorName, replacement } of all)
    if (status === 'Survived' || status === 'NoCoverage') {
      const line = files[path].source.split('\n')[location.start.line - 1].trim();
      console.log(`\n${path}:${location.start.line}:${location.start.column} ${status} ${mutatorName}`);
      console.log(`  ${line}\n  -> ${replacement.split('\n')[0]}`);
    }
if (failed) console.log(`\nfailed: a score of at least ${required} % is asked for`);
process.exit(failed ? 1 : 0);
