// What weights of one set are worth on another: steps from a trained run (`--init`) and the same steps from scratch, by the share of
// edited copies that find their original among the held-out images of the second set.
//
//   node benchmarks/init/run.mjs [--first emoji:google] [--second emoji:apple] [--epochs 20] [--steps 100] [--seeds 3] [--out FILE.json]
//
// A set is a folder of images, or emoji:DESIGNER. SimCLR on resnet-tiny at 32 pixels, on one thread.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { under } from '../../packages/core/dist/index.js';
import { createPool } from '../../packages/data/dist/index.js';
import { pretrain } from '../../packages/moco/dist/index.js';
import { openBackend, openEncoder, openEvaluation, registerPlugins } from '../../packages/node/dist/index.js';
import { initialParams } from '../../packages/run/dist/index.js';
import { table } from '../lib/rounds.mjs';

const text = (value) => ({ type: 'string', default: value });
const { values } = parseArgs({
  options: {
    ...{ first: text('emoji:google'), second: text('emoji:apple'), epochs: text('20') },
    ...{ steps: text('100'), seeds: text('3'), out: text('') },
  },
});
const [epochs, steps, seeds] = ['epochs', 'steps', 'seeds'].map((name) => Number(values[name]));
const [first, second] = [values.first, values.second].map((name) =>
  name.startsWith('emoji:') ? { data: 'emoji', designers: [name.slice(6)] } : { data: name, holdOut: 0.2 },
);
const batchSize = 64;
const rate = 2e-3;
const common = {
  ...{ method: 'simclr', arch: 'resnet-tiny', imageSize: 32, cropMin: 0.35, mocoT: 0.2, batchSize },
  ...{ optimizer: 'adamw', lr: rate, scaleLr: false, wd: 1e-4, warmupEpochs: 0, threads: 1, workers: 1 },
};

await registerPlugins();
const folder = mkdtempSync(join(tmpdir(), 'moco-init-'));
const backend = await openBackend('ort', { threads: 1 });
const pool = createPool(1);
const scores = {};
try {
  const rounds = Array.from({ length: seeds }, (_, seed) => seed);
  for (const seed of rounds) await round(seed);
} finally {
  rmSync(folder, { recursive: true, force: true });
  await backend.dispose();
}
await pool.close();
report();

async function round(seed) {
  const base = join(folder, `first-${seed}`);
  const { config } = await pretrain({ ...common, ...first, seed, epochs, out: base }).result;
  // Opened once for all that is measured on the second set.
  const on = { ...config, designers: undefined, labels: false, ...second };
  const evaluation = await openEvaluation(
    on,
    { k: 200, temperature: 0.1 },
    { note: () => {}, onSkip: () => {} },
  );
  const length = Math.max(1, Math.ceil(steps / Math.floor(evaluation.train.length / batchSize)));
  const run = async (name, options) => {
    const out = join(folder, `${name}-${seed}`);
    const { checkpoint } = await pretrain({
      ...{ ...common, ...second, seed, epochs: length, maxSteps: steps, out },
      ...options,
    }).result;
    return params(checkpoint);
  };
  const size = config.imageSize;
  const pixels = { dim: 3 * size * size, extract: async (images) => images };
  note('raw pixels', await evaluation.measure(pixels, backend, pool));
  note('untrained', await evaluation.run(backend, initialParams({ ...config, seed }), pool));
  note('first run as it is', await evaluation.run(backend, await params(base), pool));
  const runs = {
    'from scratch': { lr: rate },
    'from the first run': { init: base, lr: rate },
    'from the first run, a tenth of the rate': { init: base, lr: rate / 10 },
  };
  for (const [name, options] of Object.entries(runs))
    note(name, await evaluation.run(backend, await run(name, options), pool));
}

async function params(run) {
  const { tensors } = await openEncoder(run, () => {});
  return under('q', tensors);
}

function note(name, { editedCopies }) {
  scores[name] = [...(scores[name] ?? []), editedCopies];
  console.error(`  ${name}: ${editedCopies.toFixed(2)} %`);
}

function report() {
  console.log(`${values.first}, ${epochs} epochs; then ${values.second}, ${steps} steps: edited copies, R@1`);
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  table([
    ['', 'mean', 'least', 'most'],
    ...Object.entries(scores).map(([name, list]) => [
      name,
      ...[mean(list), Math.min(...list), Math.max(...list)].map((value) => value.toFixed(2)),
    ]),
  ]);
  if (values.out) writeFileSync(values.out, `${JSON.stringify({ ...values, scores }, null, 1)}\n`);
}
