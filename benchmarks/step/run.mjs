// MoCo.ts and PyTorch on the same step, in turn, in one run: medians, spread, ratio, peak memory, time to the first step.
//
//   node benchmarks/step/run.mjs [--rounds 3] [--python PATH] [--out FILE.json] [--arch ... --batch ... --size ...]
//
// Without --python an environment with PyTorch from PyPI is made in benchmarks/.venv first.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const own = new Map([
  ['--rounds', '3'],
  ['--python', ''],
  ['--out', ''],
]);
const passed = [];
const given = process.argv.slice(2);
for (let i = 0; i < given.length; i += 2) {
  const [name, value] = [given[i], given[i + 1]];
  if (!name.startsWith('--') || value === undefined) {
    console.error(`${name}: options come as --name value`);
    process.exit(2);
  }
  if (own.has(name)) own.set(name, value);
  else passed.push(name, value);
}

/** A Python with PyTorch: the given one, or an environment of the benchmark's own. */
function python() {
  if (own.get('--python')) return own.get('--python');
  const environment = join(here, '..', '.venv');
  const interpreter = join(environment, 'bin', 'python');
  if (!existsSync(interpreter)) {
    console.error('making an environment with PyTorch ...');
    execFileSync('python3', ['-m', 'venv', environment], { stdio: 'inherit' });
    const requirements = join(here, '..', '..', 'parity', 'requirements.txt');
    execFileSync(interpreter, ['-m', 'pip', 'install', '--quiet', '-r', requirements], { stdio: 'inherit' });
  }
  return interpreter;
}

const interpreter = python();
const pytorch = join(here, 'pytorch_step.py');
const programs = [
  { name: 'MoCo.ts', command: process.execPath, args: [join(here, 'moco_step.mjs')] },
  { name: 'PyTorch contiguous', command: interpreter, args: [pytorch, '--format', 'contiguous'] },
  { name: 'PyTorch channels_last', command: interpreter, args: [pytorch, '--format', 'channels_last'] },
];
const runs = programs.map(() => []);
for (let round = 0; round < Number(own.get('--rounds')); round++)
  programs.forEach(({ command, args }, i) => {
    const text = execFileSync(command, [...args, ...passed], { encoding: 'utf8' });
    runs[i].push(JSON.parse(text.trim().split('\n').at(-1)));
  });

const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
};
const rows = programs.map(({ name }, i) => {
  const seconds = runs[i].flatMap((run) => run.secondsPerStep);
  return {
    name,
    median: quantile(seconds, 0.5),
    quartiles: [quantile(seconds, 0.25), quantile(seconds, 0.75)],
    fastest: Math.min(...seconds),
    peakMiB: Math.max(...runs[i].map((run) => run.peakRssBytes / 2 ** 20)),
    firstStep: quantile(
      runs[i].map((run) => run.secondsToFirstStep),
      0.5,
    ),
  };
});
const best = rows.slice(1).reduce((a, b) => (b.median < a.median ? b : a));
console.log(
  `\n${['', 'median s', 'quartiles', 'fastest', 'peak MiB', '1st step s'].map((t, i) => (i ? t.padStart(13) : t.padEnd(23))).join('')}`,
);
for (const row of rows) {
  const cells = [
    row.median.toFixed(3),
    row.quartiles.map((value) => value.toFixed(2)).join('-'),
    row.fastest.toFixed(3),
    row.peakMiB.toFixed(0),
    row.firstStep.toFixed(1),
  ];
  console.log(row.name.padEnd(23) + cells.map((cell) => cell.padStart(13)).join(''));
}
const ratio = rows[0].median / best.median;
console.log(
  `\nMoCo.ts / ${best.name}: ${ratio.toFixed(2)} of the time, ${(rows[0].peakMiB / best.peakMiB).toFixed(2)} of the memory`,
);
if (own.get('--out'))
  writeFileSync(own.get('--out'), `${JSON.stringify({ options: passed, rows, ratio, runs }, null, 2)}\n`);
