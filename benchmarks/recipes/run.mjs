// Recipes by sets of images: edited-copy R@1 on images that were not trained on, beside raw pixels and the untrained network.
//
//   node benchmarks/recipes/sets.mjs FOLDER                       # makes the sets
//   node benchmarks/recipes/run.mjs FOLDER [--images 45000] [--sets emoji,icons] [--recipes simclr,moco-v3]
//        [--seed 0] [--threads 1] [--out results.json]
//
// A recipe sees --images images in all, in whole epochs: the budget. What OUT has already is not run again.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { under } from '../../packages/core/dist/index.js';
import { createPool } from '../../packages/data/dist/index.js';
import { pretrain } from '../../packages/moco/dist/index.js';
import {
  openBackend,
  openCheckpoint,
  openData,
  openEvaluation,
  registerPlugins,
} from '../../packages/node/dist/index.js';
import { initialParams, resolveConfig } from '../../packages/run/dist/index.js';
import { recipes } from './recipes.mjs';
import { sets } from './sets.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    images: { type: 'string', default: '45000' },
    sets: { type: 'string', default: Object.keys(sets).join() },
    recipes: { type: 'string', default: 'simclr,moco-v3' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string', default: '1' },
    out: { type: 'string', default: join(import.meta.dirname, 'results.json') },
  },
});
const [folder] = positionals;
if (!folder) {
  console.error('FOLDER is missing: where sets.mjs put the sets');
  process.exit(2);
}
const threads = Number(values.threads);
const budget = Number(values.images);
const results = existsSync(values.out) ? JSON.parse(readFileSync(values.out, 'utf8')) : [];

await registerPlugins();
const pool = createPool(1);
for (const set of values.sets.split(',')) {
  const data = sets[set].path?.(folder) ?? join(folder, set);
  for (const recipe of values.recipes.split(/,(?! )/)) await measure(set, data, recipe);
}
await pool.close();

async function measure(set, data, recipe) {
  const flags = recipes[recipe];
  if (!flags) throw new Error(`there is no recipe "${recipe}": ${Object.keys(recipes).join('; ')}`);
  const given = { data, seed: Number(values.seed), ...flags, ...sets[set].open };
  const { length } = await openData(given, 'train', () => {});
  const epochs = Math.max(1, Math.round(budget / length));
  const options = { ...given, epochs, saveEvery: epochs, workers: 1, threads };
  await baselines(set, length, options);
  const key = { set, recipe, seed: options.seed, budget };
  if (has(key)) return;
  const out = mkdtempSync(join(tmpdir(), 'moco-recipe-'));
  try {
    const before = cpuSeconds();
    const { checkpoint } = await pretrain({ ...options, out, onWarning: () => {} }).result;
    const seconds = cpuSeconds() - before;
    const { info, tensors } = await openCheckpoint(checkpoint, () => {});
    const measures = await evaluate(info.config, under('q', tensors));
    const steps = epochs * Math.floor(length / options.batchSize);
    add({ ...key, images: length, epochs, steps, cpuSeconds: Math.round(seconds), ...measures });
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** Raw pixels, and the encoder before training. */
async function baselines(set, images, options) {
  const dataset = await openData(options, 'train', () => {});
  const config = resolveConfig(options, dataset, 1);
  const { imageSize, arch, seed } = config;
  const pixels = { set, recipe: `raw pixels, ${imageSize} px` };
  if (!has(pixels)) add({ ...pixels, images, ...(await evaluate(config)) });
  const untrained = { set, recipe: `untrained ${arch}, ${imageSize} px`, seed };
  if (!has(untrained)) add({ ...untrained, images, ...(await evaluate(config, initialParams(config))) });
}

/** @param params of the encoder; none: the pixels themselves are the features */
async function evaluate(config, params) {
  const events = { note: () => {}, onSkip: () => {}, surveyed: true };
  const evaluation = await openEvaluation(config, { k: 200, temperature: 0.1 }, events);
  const backend = await openBackend('ort', { threads });
  const source = { dim: 3 * config.imageSize ** 2, extract: async (images) => images };
  const { timing: _, ...measures } = await (params
    ? evaluation.run(backend, params, pool)
    : evaluation.measure(source, backend, pool));
  const rounded = Object.entries(measures).map(([name, value]) => [name, Number(value.toFixed(2))]);
  return { test: evaluation.test.length, ...Object.fromEntries(rounded) };
}

function has(key) {
  return results.some((row) => Object.entries(key).every(([name, value]) => row[name] === value));
}

function add(row) {
  results.push(row);
  writeFileSync(values.out, `${JSON.stringify(results, null, 2)}\n`);
  console.log(JSON.stringify(row));
}

function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
