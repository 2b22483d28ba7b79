// What the kinds of faults share: images, a small training process, and comparisons to the bit.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors, rng } from '../../packages/core/dist/index.js';

export const moco = join(import.meta.dirname, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
/** 32 images in batches of 8: 4 steps an epoch, 16 in all, a checkpoint after every second. */
export const STEPS = 16;
export const SAVE_EVERY = 2;
const IMAGES = 32;

let backend = 'ort';
/** What all runs compute on from now on. */
export const computeOn = (name) => {
  backend = name;
};

/** Random images as an idx folder: nothing to decode. */
export function images(folder, count = IMAGES, side = 16) {
  mkdirSync(folder, { recursive: true });
  const random = rng(0, 'faults/pictures');
  const words = (...values) =>
    Buffer.concat(values.map((value) => Buffer.from(Uint32Array.of(value).buffer).reverse()));
  const images = Buffer.from(Uint8Array.from({ length: count * side * side }, () => random.integer(256)));
  writeFileSync(
    join(folder, 'train-images-idx3-ubyte'),
    Buffer.concat([words(0x803, count, side, side), images]),
  );
  writeFileSync(
    join(folder, 'train-labels-idx1-ubyte'),
    Buffer.concat([words(0x801, count), Buffer.alloc(count)]),
  );
  return folder;
}

/** A small run; flags in `more` win. */
export function flags(data, out, more = [], method = 'moco-v2') {
  const queue = ['moco-v1', 'moco-v2', 'instdisc'].includes(method) ? ' --moco-k 16' : '';
  const sizes = `-a resnet-tiny --image-size 16 -b 8 --bn-splits 2 --moco-dim 8 --method ${method}${queue}`;
  const run = `-j 0 --threads 1 -p 1 --lr 0.01 --epochs 4 --save-every-steps ${SAVE_EVERY}`;
  const recipe = [...sizes.split(' '), ...run.split(' '), '--backend', backend];
  return ['pretrain', data, ...recipe, '--out', out, ...more];
}

/** Starts `moco`. `ended` gives the exit code, the signal and all that was printed. */
export function start(args, options = {}) {
  const child = spawn(process.execPath, [moco, ...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended = new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, out, err })),
  );
  return { child, ended, out: () => out };
}

export const finish = (args, options) => start(args, options).ended;

/** The loss of each step; of steps that were taken twice, the later one. */
export function losses(folder) {
  const path = join(folder, 'log.jsonl');
  const bySteps = [];
  if (!existsSync(path)) return bySteps;
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    // A process that was killed may have left half a line.
    const line = parsed(text);
    if (line?.event === 'step') bySteps[line.globalStep] = line.loss;
  }
  return bySteps;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The names of a run's checkpoints, the newest last. */
export function checkpoints(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^checkpoint-.*\.safetensors$/.test(name))
    .sort((a, b) => stepOf(a) - stepOf(b));
}

/** Steps that a checkpoint of these runs holds; 0 where there is none. */
export function stepOf(file) {
  if (file === undefined) return 0;
  const [, epoch, step = '0'] = /^checkpoint-(\d+)(?:-(\d+))?\./.exec(file);
  return 4 * Number(epoch) + Number(step);
}

/** Why a run that ended is not the one that was never disturbed; undefined if it is, to the bit. */
export function unlike(folder, reference) {
  const [here, there] = [losses(folder), losses(reference)];
  const step = there.findIndex((loss, i) => here[i] !== loss);
  if (step >= 0) return `the loss of step ${step} is ${here[step]}, should be ${there[step]}`;
  const [a, b] = [folder, reference].map((place) => {
    const path = join(place, checkpoints(place).at(-1));
    return decodeSafetensors(readFileSync(path), path).tensors;
  });
  const bytes = ({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const names = Object.keys({ ...a, ...b });
  const other = names.find((name) => !a[name] || !b[name] || !bytes(a[name]).equals(bytes(b[name])));
  return other === undefined ? undefined : `${other} differs`;
}

/** Bad input gets one clear line: what is wrong with a message, if anything. */
export function unclear({ err }) {
  const lines = err.trim().split('\n');
  const last = lines.at(-1);
  if (/^\s+at /m.test(err)) return `a stack trace: ${last}`;
  return last.startsWith('moco: ') ? undefined : `no clear last line: ${JSON.stringify(last)}`;
}

/** Waits until a process has printed so many steps, or has ended. */
export async function untilStep({ child, out }, count) {
  while (out().split('Epoch ').length <= count && child.exitCode === null && child.signalCode === null)
    await sleep(5);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
