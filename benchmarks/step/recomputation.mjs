// What --checkpoint-activations saves and costs: steps with activations kept and computed again, in turn. Linux.
//
//   node benchmarks/step/recomputation.mjs [--rounds 3] [--out FILE.json] [--backend xla:cpu] [--rows NAME,NAME]
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { alternate, quantile, spread, table } from '../lib/rounds.mjs';

const rows = {
  'ResNet-50 b8 224px': '--arch resnet50 --stem imagenet --batch 8 --size 224 --bn-splits 4 --steps 6',
  'ResNet-50 b16 224px': '--arch resnet50 --stem imagenet --batch 16 --size 224 --bn-splits 4 --steps 4',
  'ResNet-50 b32 224px': '--arch resnet50 --stem imagenet --batch 32 --size 224 --bn-splits 4 --steps 3',
  'ViT-Small b8 224px': '--arch vit_small --bn plain --batch 8 --size 224 --steps 6',
  'ViT-Small b32 224px': '--arch vit_small --bn plain --batch 32 --size 224 --steps 3',
};
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    out: { type: 'string', default: '' },
    backend: { type: 'string', default: 'ort' },
    rows: { type: 'string', default: Object.keys(rows).join() },
  },
});

const step = join(import.meta.dirname, 'moco_step.mjs');
const results = values.rows.split(',').map((row) => {
  console.error(row);
  const args = ['--expose-gc', step, '--warmup', '1', '--backend', values.backend, ...rows[row].split(' ')];
  const programs = [
    { name: 'kept', command: process.execPath, args },
    { name: 'computed again', command: process.execPath, args: [...args, '--checkpoint-activations'] },
  ];
  const runs = alternate(programs, Number(values.rounds));
  return {
    row,
    runs: programs.map(({ name }, i) => ({
      name,
      secondsPerStep: runs[i].flatMap(({ secondsPerStep }) => secondsPerStep),
      cpuSecondsPerStep: runs[i].flatMap(({ cpuSecondsPerStep }) => cpuSecondsPerStep),
      stepPeakMiB: Math.max(...runs[i].map(({ stepPeakBytes }) => stepPeakBytes / 2 ** 20)),
      peakMiB: Math.max(...runs[i].map(({ peakRssBytes }) => peakRssBytes / 2 ** 20)),
      loss: runs[i][0].loss,
    })),
  };
});

const cells = results.map(({ row, runs: [kept, again] }) => {
  const median = ({ secondsPerStep }) => quantile(secondsPerStep, 0.5);
  const cpu = ({ cpuSecondsPerStep }) => quantile(cpuSecondsPerStep, 0.5);
  const both = (value) => `${value(kept)} to ${value(again)}`;
  return [
    row,
    both((run) => median(run).toFixed(3)),
    both((run) => spread(run.secondsPerStep, 2)),
    (median(again) / median(kept)).toFixed(2),
    both((run) => cpu(run).toFixed(2)),
    (cpu(again) / cpu(kept)).toFixed(2),
    both((run) => run.stepPeakMiB.toFixed(0)),
    (again.stepPeakMiB / kept.stepPeakMiB).toFixed(2),
    both((run) => run.peakMiB.toFixed(0)),
    (again.peakMiB / kept.peakMiB).toFixed(2),
    kept.loss === again.loss ? 'equal' : Math.abs(again.loss / kept.loss - 1).toExponential(0),
  ];
});
const head = [
  '',
  'median s',
  'quartiles',
  'ratio',
  'CPU s',
  'ratio',
  'MiB over the state',
  'ratio',
  'peak MiB',
  'ratio',
  'loss',
];
table([head, ...cells]);
if (values.out) writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
