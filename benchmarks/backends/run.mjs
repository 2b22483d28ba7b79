// The same training step on every backend that is usable here, and in PyTorch, in turn.
//
//   node benchmarks/backends/run.mjs [--rounds 2] [--python PATH] [--out FILE.json] [--arch resnet-tiny ...]
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { choices, probe } from '../../packages/cli/dist/run/backends.js';
import { pythonWithPeers } from '../lib/python.mjs';
import { alternate, quantile, spread, table } from '../lib/rounds.mjs';

const step = join(import.meta.dirname, '..', 'step');
const own = { rounds: '2', python: '', out: '' };
const work = {
  arch: 'resnet-tiny',
  stem: 'small',
  batch: '32',
  size: '32',
  'moco-k': '1024',
  steps: '6',
  warmup: '2',
};
const given = process.argv.slice(2);
for (let i = 0; i < given.length; i += 2) {
  const [name, value] = [given[i]?.replace(/^--/, ''), given[i + 1]];
  if (value === undefined || !(name in own || name in work)) {
    console.error(
      `${given[i]}: options come as --name value; known are ${Object.keys({ ...own, ...work }).join(', ')}`,
    );
    process.exit(2);
  }
  if (name in own) own[name] = value;
  else work[name] = value;
}
const options = Object.entries(work).flatMap(([name, value]) => [`--${name}`, value]);
/** Checks, not places to train: a step takes half a minute. */
const skipped = new Set(['reference', 'tfjs:cpu']);

const programs = [];
for (const name of choices) {
  if (skipped.has(name)) continue;
  const found = await probe(name);
  if ('failure' in found || !found.training) {
    console.error(`left out: ${name}${'failure' in found ? `: ${found.failure}` : ', which does not train'}`);
    continue;
  }
  programs.push({
    name: found.software ? `${name} (software)` : name,
    command: process.execPath,
    args: [join(step, 'moco_step.mjs'), '--backend', name, ...options],
  });
}
programs.push({
  name: 'PyTorch',
  command: pythonWithPeers(own.python),
  args: [join(step, 'pytorch_step.py'), ...options],
});

const runs = alternate(programs, Number(own.rounds));
const results = programs.map(({ name }, i) => ({
  name,
  secondsPerStep: runs[i].flatMap((run) => run.secondsPerStep),
  peakMiB: Math.max(...runs[i].map((run) => run.peakRssBytes / 2 ** 20)),
}));
const reference = quantile(results.at(-1).secondsPerStep, 0.5);
console.log(
  `\n${Object.entries(work)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')}`,
);
table([
  ['', 'median s', 'quartiles', 'of PyTorch', 'peak MiB'],
  ...results.map(({ name, secondsPerStep, peakMiB }) => {
    const median = quantile(secondsPerStep, 0.5);
    return [
      name,
      median.toFixed(3),
      spread(secondsPerStep, 3),
      (median / reference).toFixed(2),
      peakMiB.toFixed(0),
    ];
  }),
]);
if (own.out) writeFileSync(own.out, `${JSON.stringify({ work, results }, null, 1)}\n`);
