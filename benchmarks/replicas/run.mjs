// What replicas cost on one machine: a step cut at its collectives against a whole one, and two processes of one thread against one of two.
//
//   node benchmarks/replicas/run.mjs [--rounds 3] [--rows NAME,NAME] [--mpirun mpirun] [--backend ort] [--out FILE.json]
//
// Open MPI refuses root unless OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1. Build first.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { alternate, quantile, spread, table } from '../lib/rounds.mjs';

const rows = {
  'ResNet-50 b8 224px': '--arch resnet50 --stem imagenet --batch 8 --size 224 --steps 6',
  'ResNet-18 b32 64px': '--arch resnet18 --stem imagenet --batch 32 --size 64 --steps 16',
  'ViT-Small b8 224px': '--arch vit_small --batch 8 --size 224 --steps 6',
  'tiny b16 32px': '--arch resnet-tiny --batch 16 --size 32 --steps 10',
};
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: Object.keys(rows).slice(0, 3).join() },
    mpirun: { type: 'string', default: 'mpirun' },
    backend: { type: 'string', default: 'ort' },
    out: { type: 'string' },
  },
});
const unknown = values.rows.split(',').find((name) => !(name in rows));
if (unknown !== undefined) {
  console.error(`no row "${unknown}"; there are: ${Object.keys(rows).join(', ')}`);
  process.exit(2);
}

const script = join(import.meta.dirname, '..', 'step', 'moco_step.mjs');
const results = [];
for (const row of values.rows.split(',')) {
  console.error(row);
  const args = [script, '--backend', values.backend, '--bn', 'plain', ...rows[row].split(' ')];
  const programs = [
    { name: 'whole, 2 threads', args: ['--threads', '2'] },
    { name: 'cut and exchanged in memory, 2 threads', args: ['--threads', '2', '--replicas', 'alone'] },
    { name: 'two processes, 1 thread each', args: ['--threads', '1', '--replicas', 'mpi'], processes: 2 },
  ].map(({ name, args: own, processes }) => ({
    name,
    command: processes ? values.mpirun : process.execPath,
    args: [...(processes ? ['-n', `${processes}`, process.execPath] : []), ...args, ...own],
  }));
  const runs = alternate(programs, Number(values.rounds));
  const peers = programs.map(({ name }, i) => ({
    name,
    secondsPerStep: runs[i].flatMap((run) => run.secondsPerStep),
    cpuSecondsPerStep: runs[i].flatMap((run) => run.cpuSecondsPerStep),
    peakMiB: Math.max(...runs[i].map((run) => run.peakRssBytes / 2 ** 20)),
  }));
  results.push({ row, flags: rows[row], peers });
}

for (const { row, peers } of results) {
  const median = (seconds) => quantile(seconds, 0.5);
  const [whole] = peers;
  console.log(`\n${row}: the same batch for all programs, of which two processes have a half each`);
  table([
    ['', 'median s', 'quartiles', 'of the first', 'CPU of the first', 'peak MiB'],
    ...peers.map(({ name, secondsPerStep, cpuSecondsPerStep, peakMiB }) => [
      name,
      median(secondsPerStep).toFixed(3),
      spread(secondsPerStep, 3),
      (median(secondsPerStep) / median(whole.secondsPerStep)).toFixed(3),
      (median(cpuSecondsPerStep) / median(whole.cpuSecondsPerStep)).toFixed(3),
      peakMiB.toFixed(0),
    ]),
  ]);
}
if (values.out) writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
