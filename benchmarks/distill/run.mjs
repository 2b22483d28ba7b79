// What a teacher gives a small encoder on emoji: the same encoder, steps and images with a teacher (distill) and without (simclr),
// measured on held-out emoji against the teacher.
//
//   python benchmarks/distill/teacher.py teacher/model.onnx 64
//   node benchmarks/distill/run.mjs teacher/model.onnx [--epochs 10] [--seeds 0,1,2] [--arch resnet-mini] [--work FOLDER] [--out FILE.json]
//
// FOLDER keeps the runs: a second call goes on with them. Retrieval is R@1 in percent; neighbours: the share, in percent, of an image's ten
// nearest by the teacher that are among its ten nearest by the student.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadRuntime, ortPlugin } from '../../packages/backend-ort/dist/index.js';
import { createExtractor, nearestNeighbours, under } from '../../packages/core/dist/index.js';
import {
  embedAll,
  evalImages,
  evaluateRetrieval,
  openDataset,
  retrievalTasks,
} from '../../packages/data/dist/index.js';
import { openCheckpoint, registerPlugins } from '../../packages/node/dist/index.js';
import { modelConfig } from '../../packages/run/dist/index.js';

const { values, positionals } = parseArgs({
  options: {
    epochs: { type: 'string', default: '10' },
    seeds: { type: 'string', default: '0,1,2' },
    arch: { type: 'string', default: 'resnet-mini' },
    work: { type: 'string' },
    out: { type: 'string' },
  },
  allowPositionals: true,
});
const [teacher] = positionals;
if (!teacher) {
  console.error('TEACHER.onnx is missing: python benchmarks/distill/teacher.py makes one');
  process.exit(2);
}
const seeds = values.seeds.split(',').filter(Boolean).map(Number);
const work = values.work ?? mkdtempSync(join(tmpdir(), 'moco-distill-'));
const here = dirname(fileURLToPath(import.meta.url));
const moco = join(here, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
const shared = [
  ...['--image-size', '32', '--crop-min', '0.35', '-b', '64', '--epochs', values.epochs, '-a', values.arch],
  ...['--optimizer', 'adamw', '--lr', '0.002', '--wd', '0.0001'],
  ...['--cos', '--lr-per-step', '--warmup-epochs', '0'],
  ...['--no-scale-lr', '--threads', '1', '-j', '0'],
];
const arms = {
  simclr: ['--method', 'simclr', '--moco-t', '0.1'],
  // The paper's T_s of .2 has the student's similarities too flat for a queue of 1,024.
  distill: [
    '--method',
    'distill',
    '--moco-k',
    '1024',
    '--moco-t',
    '0.07',
    '--teacher',
    teacher,
    '--cache-teacher',
  ],
};

await registerPlugins();
const test = await openDataset('emoji', { split: 'test' });
const backend = await ortPlugin.create({ deterministic: true, threads: 1 });

/** @returns the measures of a network, and the ten nearest of each held-out image by it */
async function measured(extract, target) {
  const scores = await evaluateRetrieval(retrievalTasks(test, target), extract);
  const { features, dim } = await embedAll(evalImages(test, target), extract);
  const rows = { features, dim };
  const lists = await nearestNeighbours(backend, rows, rows, 10, (row) => row);
  const nearest = lists.map((list) => new Set(list.map(({ row }) => row)));
  return {
    editedCopies: 100 * scores['edited-copies'],
    crossDesigner: 100 * scores['cross-designer'],
    nearest,
  };
}

async function measureTeacher() {
  const ort = await loadRuntime();
  const session = await ort.InferenceSession.create(teacher, { intraOpNumThreads: 1 });
  const {
    size,
    image_mean: mean,
    image_std: std,
  } = JSON.parse(readFileSync(join(dirname(teacher), 'preprocessor_config.json'), 'utf8'));
  const extract = async (data, rows) => {
    const images = new ort.Tensor('float32', data, [rows, 3, size, size]);
    const [output] = Object.values(await session.run({ [session.inputNames[0]]: images }));
    return output.data;
  };
  return measured(extract, { size, mean, std });
}

async function measureRun(folder) {
  const { info, tensors } = await openCheckpoint(folder, console.warn);
  const { imageSize: size, mean, std } = info.config;
  const extractor = await createExtractor(backend, modelConfig(info.config), under('q', tensors), 64);
  const result = await measured((data) => extractor.extract(data), { size, mean, std });
  await extractor.dispose();
  return { ...result, steps: info.globalStep };
}

const shown = (value) => value.toFixed(1).padStart(6);
const known = await measureTeacher();
const share = (nearest) => {
  const kept = nearest.map((own, i) => [...known.nearest[i]].filter((j) => own.has(j)).length);
  return (10 * kept.reduce((sum, value) => sum + value)) / kept.length;
};
console.log('                     copies  other designer  neighbours of the teacher');
console.log(`teacher              ${shown(known.editedCopies)}          ${shown(known.crossDesigner)}`);
const rows = [];
for (const seed of seeds)
  for (const [arm, flags] of Object.entries(arms)) {
    const out = join(work, `${arm}-${seed}`);
    const start = existsSync(out)
      ? ['--resume', out]
      : ['emoji', ...shared, ...flags, '--seed', String(seed)];
    const { status } = spawnSync(
      process.execPath,
      [moco, 'pretrain', ...start, ...(existsSync(out) ? [] : ['--out', out]), '-p', '1000'],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    if (status !== 0) process.exit(1);
    const { nearest, ...row } = await measureRun(out);
    rows.push({ arm, seed, ...row, neighbours: share(nearest) });
    const { editedCopies, crossDesigner, neighbours } = rows.at(-1);
    console.log(
      `${arm.padEnd(8)} seed ${seed}      ${shown(editedCopies)}          ${shown(crossDesigner)}          ${shown(neighbours)}`,
    );
  }
const { nearest: _, ...teacherRow } = known;
if (values.out)
  writeFileSync(
    values.out,
    `${JSON.stringify({ arch: values.arch, epochs: Number(values.epochs), teacher: teacherRow, rows }, null, 1)}\n`,
  );
await backend.dispose();
