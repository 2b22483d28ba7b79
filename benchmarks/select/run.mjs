// How well what needs no label ranks the checkpoints of a run: Spearman's rank correlation of R@1 of edited copies, and of the loss,
// with kNN accuracy by the labels, which the training does not see.
//
//   node benchmarks/select/run.mjs DATA... [--images 6000] [--epochs 24] [--every 2] [--seeds 0,1,2] [--method moco-v2] [--threads 1]
//
// DATA: emoji, or folders that `moco pretrain` takes, with labels. A labelled set without a test split has a fifth held out. --images:
// at most so many of the training split, evenly spaced, to train on and to compare with, and so many test images.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { under } from '../../packages/core/dist/index.js';
import {
  createPool,
  defineDataset,
  HELD_OUT,
  heldOut,
  openDataset,
  openTest,
} from '../../packages/data/dist/index.js';
import { pretrain } from '../../packages/moco/dist/index.js';
import { openBackend, openEvaluation, readCheckpoint, withOpened } from '../../packages/node/dist/index.js';
import { table } from '../lib/rounds.mjs';
import { spearman } from './spearman.mjs';

const { values, positionals } = parseArgs({
  options: {
    images: { type: 'string', default: '6000' },
    epochs: { type: 'string', default: '24' },
    every: { type: 'string', default: '2' },
    seeds: { type: 'string', default: '0,1,2' },
    method: { type: 'string', default: 'moco-v2' },
    threads: { type: 'string', default: '1' },
  },
  allowPositionals: true,
});
if (positionals.length === 0) {
  console.error('DATA is missing: emoji, or a folder of labelled images');
  process.exit(2);
}
const [images, epochs, every, threads] = ['images', 'epochs', 'every', 'threads'].map((name) =>
  Number(values[name]),
);
const work = mkdtempSync(join(tmpdir(), 'moco-select-'));

/** Both splits, of at most so many images each, as a program's own sets, of which the categories of emoji are labels. */
async function splitsOf(data) {
  const train = await openDataset(data);
  const test = await openTest(data);
  const splits = test ? { train, test } : await heldOut(train, HELD_OUT);
  const few = (set, split) => {
    const length = Math.min(images, set.length);
    const row = (i) => Math.floor((i * set.length) / length);
    const { name, classes } = set;
    const [decode, label, id] = ['decode', 'label', 'id'].map((of) => (i) => set[of](row(i)));
    return defineDataset({ name, classes, length, decode, label, id }, split);
  };
  return { train: few(splits.train, 'train'), test: few(splits.test, 'test') };
}

/** What a checkpoint measures. */
async function measure(path, sets) {
  const { info, tensors } = await readCheckpoint(path);
  const events = { note: () => {}, onSkip: () => {} };
  const knn = { k: 200, temperature: 0.1 };
  const byCopies = await openEvaluation({ ...info.config, labels: false }, knn, events, sets);
  const byLabels = await openEvaluation(info.config, knn, events, sets);
  return withOpened(async (keep) => {
    const backend = keep(await openBackend('ort', { threads }));
    const pool = keep(createPool(0));
    const seconds = ({ timing }) => timing.featureSeconds + timing.searchSeconds;
    const params = under('q', tensors);
    const copies = await byCopies.run(backend, params, pool);
    const labels = await byLabels.run(backend, params, pool);
    return {
      copies: copies.editedCopies,
      knn: labels.knn,
      seconds: seconds(copies),
      knnSeconds: seconds(labels),
    };
  });
}

async function run(data, seed, sets) {
  const out = join(work, `${positionals.indexOf(data)}-${seed}`);
  const recipe = { imageSize: 32, batchSize: 64, optimizer: 'adamw', lr: 2e-3, cos: true, warmupEpochs: 1 };
  const queue =
    values.method.startsWith('moco-v') && values.method !== 'moco-v3' ? { mocoK: 1024, mocoM: 0.99 } : {};
  const { seconds } = await pretrain({
    ...{ data: sets.train, method: values.method, arch: 'resnet-tiny', ...recipe, ...queue, bnSplits: 4 },
    ...{ epochs, seed, saveEvery: every, keep: epochs, workers: 0, threads, out, onWarning: () => {} },
  }).result;
  const lines = readFileSync(join(out, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const loss = new Map(
    lines.filter(({ event }) => event === 'epoch').map(({ epoch, loss }) => [epoch + 1, loss]),
  );
  const measured = [];
  for (let epoch = every; epoch <= epochs; epoch += every) {
    const path = join(out, `checkpoint-${String(epoch).padStart(4, '0')}.safetensors`);
    measured.push({ epoch, loss: loss.get(epoch), ...(await measure(path, sets)) });
    console.error(`${data} ${seed}: ${JSON.stringify(measured.at(-1))}`);
  }
  rmSync(out, { recursive: true, force: true });
  return { measured, trainSeconds: seconds };
}

/** What a run says of the two measures. */
function verdict({ measured, trainSeconds }) {
  const knn = measured.map((at) => at.knn);
  const best = (of) => measured.reduce((a, b) => (of(b) >= of(a) ? b : a));
  const mean = (of) => measured.reduce((sum, at) => sum + of(at), 0) / measured.length;
  return {
    rho: spearman(
      measured.map((at) => at.copies),
      knn,
    ),
    rhoLoss: spearman(
      measured.map((at) => -at.loss),
      knn,
    ),
    top: Math.max(...knn),
    chosen: best((at) => at.copies).knn,
    byLoss: best((at) => -at.loss).knn,
    last: knn.at(-1),
    cost: (100 * mean((at) => at.seconds)) / (trainSeconds / epochs),
    costKnn: (100 * mean((at) => at.knnSeconds)) / (trainSeconds / epochs),
  };
}

const rows = [
  ['', 'seed', 'copies', 'loss', 'best kNN', 'by copies', 'by loss', 'last', 'cost', 'cost of kNN'],
];
for (const data of positionals) {
  const sets = await splitsOf(data);
  console.error(`${data}: ${sets.train.length} images to train on, ${sets.test.length} held out`);
  for (const seed of values.seeds.split(',').map(Number)) {
    const { rho, rhoLoss, cost, costKnn, ...accuracies } = verdict(await run(data, seed, sets));
    const { top, chosen, byLoss, last } = accuracies;
    rows.push([
      ...[data, String(seed), rho.toFixed(2), rhoLoss.toFixed(2)],
      ...[top, chosen, byLoss, last].map((value) => value.toFixed(2)),
      ...[cost, costKnn].map((share) => `${share.toFixed(0)} %`),
    ]);
  }
}
table(rows);
console.log(
  'copies, loss: rank correlation with kNN accuracy. cost: of one evaluation, in epochs of training.',
);
rmSync(work, { recursive: true, force: true });
