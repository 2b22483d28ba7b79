// The same training step on every backend that is usable here, and in PyTorch, in turn.
//
//   node benchmarks/backends/run.mjs [--rounds 2] [--python PATH] [--out FILE.json] [--arch resnet-tiny ...]
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { knownDevices, probe } from '../../packages/node/dist/index.js';
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
/** A check, not a place to train: one step, in the first round alone. */
const CHECK = 'tfjs:cpu';
/** The oracle, in float64: minutes a step. */
const ORACLE = 'reference';

const programs = [];
/** Names of backends, with the reason. */
const leftOut = {};
for (const device of await knownDevices()) {
  const { name } = device;
  if (name === ORACLE) continue;
  const result = await probe(device);
  if ('failure' in result || !result.training) {
    leftOut[name] = 'failure' in result ? result.failure : 'it does not train';
    console.error(`left out: ${name}: ${leftOut[name]}`);
    continue;
  }
  const note = name === CHECK ? ' (a check)' : result.software ? ' (in software)' : '';
  const fewer = note === '' ? [] : ['--steps', '1', '--warmup', '0'];
  programs.push({
    name: `${name}${note}`,
    command: process.execPath,
    args: [join(step, 'moco_step.mjs'), '--backend', name, ...options, ...fewer],
    once: note !== '',
  });
}
const python = pythonWithPeers(own.python);
for (const format of ['contiguous', 'channels_last'])
  programs.push({
    name: `PyTorch ${format}`,
    command: python,
    args: [join(step, 'pytorch_step.py'), '--format', format, ...options],
  });

const runs = alternate(programs, Number(own.rounds));
const results = programs.map(({ name }, i) => ({
  name,
  secondsPerStep: runs[i].flatMap((run) => run.secondsPerStep),
  peakMiB: Math.max(...runs[i].map((run) => run.peakRssBytes / 2 ** 20)),
}));
const median = ({ secondsPerStep }) => quantile(secondsPerStep, 0.5);
const peer = results.slice(-2).reduce((a, b) => (median(b) < median(a) ? b : a));
const flags = Object.entries(work).map(([name, value]) => `${name} ${value}`);
console.log(`\n${cpus()[0].model}, ${availableParallelism()} cores; ${flags.join(', ')}`);
table([
  ['', 'median s', 'quartiles', `of ${peer.name}`, 'peak MiB', 'steps'],
  ...results.map((result) => [
    result.name,
    median(result).toFixed(3),
    spread(result.secondsPerStep, 3),
    (median(result) / median(peer)).toFixed(2),
    result.peakMiB.toFixed(0),
    `${result.secondsPerStep.length}`,
  ]),
]);
if (own.out)
  writeFileSync(own.out, `${JSON.stringify({ work, peer: peer.name, leftOut, results }, null, 1)}\n`);
