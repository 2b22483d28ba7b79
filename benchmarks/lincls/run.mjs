// The linear classifier of the papers on the same frozen encoder, by `moco lincls` and by PyTorch, on Fashion-MNIST.
//
//   node benchmarks/lincls/run.mjs FOLDER [--run RUN] [--python PATH] [--epochs 100 --schedule 60 80 --seed 0]
//
// FOLDER holds the idx files (Debian: dataset-fashion-mnist). Without --run a small encoder is pre-trained for 2 epochs.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pythonWithPeers } from '../lib/python.mjs';

const { values, positionals } = parseArgs({
  options: {
    run: { type: 'string' },
    python: { type: 'string' },
    epochs: { type: 'string', default: '100' },
    schedule: { type: 'string', multiple: true, default: ['60', '80'] },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string' },
  },
  allowPositionals: true,
});
const [folder, ...falls] = positionals;
if (!folder) {
  console.error('FOLDER is missing: the folder of the idx files');
  process.exit(2);
}
const moco = join(import.meta.dirname, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
const work = mkdtempSync(join(tmpdir(), 'moco-lincls-'));
function command(...args) {
  const { status } = spawnSync(process.execPath, [moco, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}

const run = values.run ?? join(work, 'run');
const recipe =
  '--method moco-v2 -a resnet-tiny --image-size 32 --epochs 2 -b 256 --moco-k 4096 --moco-m 0.99 --lr 0.06';
if (!values.run) command('pretrain', folder, ...recipe.split(' '), '--out', run);
const encoder = join(work, 'encoder.safetensors');
command('convert', run, '-o', encoder);

const schedule = [...values.schedule, ...falls];
const options = ['--epochs', values.epochs, '--schedule', ...schedule, '--seed', values.seed];
if (values.threads) options.push('--threads', values.threads);
const probe = join(work, 'probe');
command('lincls', run, '--out', probe, '-p', '100', ...options);
const log = readFileSync(join(probe, 'log.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const ours = log.filter(({ event }) => event === 'validation').map(({ acc1 }) => acc1);

const script = join(import.meta.dirname, 'pytorch.py');
const peer = execFileSync(pythonWithPeers(values.python), [script, folder, encoder, ...options], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
const theirs = JSON.parse(peer.trim().split('\n').at(-1)).acc1;
const say = (name, acc1) =>
  console.log(
    `${name}: test Acc@1 after the last epoch ${acc1.at(-1).toFixed(2)} %, best ${Math.max(...acc1).toFixed(2)} %`,
  );
say('moco lincls', ours);
say('PyTorch', theirs);
console.log(`apart: ${Math.abs(ours.at(-1) - theirs.at(-1)).toFixed(2)} points`);
