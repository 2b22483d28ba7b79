// What reduced precision costs in accuracy: the same runs in fp32 and in another precision, measured in fp32 on held-out emoji.
//
//   node benchmarks/precision/run.mjs [--precision bf16] [--backend xla:cpu] [--epochs 8] [--seeds 0,1,2] [--work FOLDER]
//
// The recipe of `moco train` for emoji, by epochs. FOLDER keeps the runs: a second call goes on with them. R@1 in percent.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { quantile, table } from '../lib/rounds.mjs';

const text = (value) => ({ type: 'string', default: value });
const { values } = parseArgs({
  options: {
    ...{ precision: text('bf16'), backend: text('xla:cpu'), epochs: text('8'), seeds: text('0,1,2') },
    work: { type: 'string' },
  },
});
const work = values.work ?? mkdtempSync(join(tmpdir(), 'moco-precision-'));
const here = dirname(fileURLToPath(import.meta.url));
const moco = join(here, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
const recipe = [
  ...['--method', 'simclr', '-a', 'resnet-mini', '--image-size', '32', '-b', '64', '--epochs', values.epochs],
  ...['--optimizer', 'adamw', '--lr', '0.002', '--no-scale-lr', '--warmup-epochs', '0', '--crop-min', '0.35'],
  ...['--backend', values.backend, '--workers', '1'],
];

function run(args) {
  const { status, stdout } = spawnSync(process.execPath, [moco, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) process.exit(1);
  return stdout;
}

const shown = (value) => value.toFixed(2);
const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
const rows = [['seed', 'precision', 'edited copies', 'cross-designer', 'same category']];
const all = new Map();
let untrained;
for (const seed of values.seeds.split(','))
  for (const precision of ['fp32', values.precision]) {
    const out = join(work, `${precision}-${seed}`);
    const start = existsSync(out)
      ? ['--resume', out]
      : ['emoji', ...recipe, '--seed', seed, '--precision', precision, '--out', out];
    run(['pretrain', ...start]);
    const { editedCopies, crossDesigner, neighbour, baseline } = JSON.parse(
      run(['knn', out, 'emoji', '--json']),
    );
    untrained = baseline;
    const scores = [editedCopies, crossDesigner, neighbour];
    rows.push([seed, precision, ...scores.map(shown)]);
    all.set(precision, [...(all.get(precision) ?? []), scores]);
  }
for (const [precision, scores] of all) {
  const cells = [0, 1, 2].map((task) => {
    const column = scores.map((row) => row[task]);
    return `${shown(mean(column))} (${shown(quantile(column, 0))}-${shown(quantile(column, 1))})`;
  });
  rows.push(['mean', precision, ...cells]);
}
const { editedCopies, crossDesigner, neighbour } = untrained;
rows.push(['', 'untrained', ...[editedCopies, crossDesigner, neighbour].map(shown)]);
table(rows);
