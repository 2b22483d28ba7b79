// Times whole MoCo v2 steps in MoCo.ts, from random weights and on random images; prints one JSON line.
// The twin of pytorch_step.py: the same options, the same work, the same result.
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import {
  createTrainer,
  encoderNamed,
  mocoState,
  mocoStep,
  rng,
  sgd,
} from '../../packages/core/dist/index.js';
import { registerEncoders } from '../../packages/encoders/dist/index.js';
import { openBackend } from '../../packages/node/dist/open-backend.js';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'resnet18' },
    stem: { type: 'string', default: 'cifar' },
    batch: { type: 'string', default: '64' },
    size: { type: 'string', default: '32' },
    'moco-k': { type: 'string', default: '4096' },
    bn: { type: 'string', default: 'split' },
    'bn-splits': { type: 'string', default: '8' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    block: { type: 'string' },
    backend: { type: 'string', default: 'ort' },
    steps: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '3' },
    accumulate: { type: 'string', default: '1' },
    'checkpoint-activations': { type: 'boolean', default: false },
    // mpi: those that mpirun started share the batch; alone: one of two, with a batch of its own, that finds the other's values its own.
    replicas: { type: 'string', default: 'none' },
  },
});
const [batch, size, queueSize] = [values.batch, values.size, values['moco-k']].map(Number);
const [steps, warmup] = [values.steps, values.warmup].map(Number);
const accumulate = Number(values.accumulate);
const split = values.bn === 'split';
const world = await worldOf(values.replicas);
const replicas = world?.size ?? 1;
const own = values.replicas === 'mpi' ? batch / replicas : batch;

registerEncoders();
const backend = await openBackend(values.backend, {
  threads: Number(values.threads),
  ...(values.block === undefined ? {} : { block: Number(values.block) }),
});
const config = {
  encoder: encoderNamed(values.arch),
  encoderConfig: { imageSize: size, stem: values.stem },
  batch: own / accumulate,
  accumulate,
  replicas,
  queueSize,
  momentum: 0.999,
  temperature: 0.2,
  mlp: true,
  dim: 128,
  bnSplits: split ? Number(values['bn-splits']) : 1,
  shuffle: split,
  symmetric: false,
  checkpointActivations: values['checkpoint-activations'],
  optimizer: sgd({ momentum: 0.9, weightDecay: 1e-4 }),
};
const trainer = await start();
const random = rng(0, 'benchmark');
const shape = [own, 3, size, size];
const image = () => ({
  shape,
  dtype: 'float32',
  data: Float32Array.from({ length: own * 3 * size * size }, random.normal),
});
const feeds = { xq: image(), xk: image() };
/** Nothing but the trainer holds the state, as in training. */
function start() {
  const state = mocoState(config, 0);
  return createTrainer(backend, mocoStep(config, state), state, world && { communicator: world });
}

/** What joins the replicas; undefined for a step that is not shared. */
async function worldOf(kind) {
  if (kind === 'none') return undefined;
  if (kind === 'mpi') return (await import('../../packages/distributed/dist/index.js')).openWorld();
  return {
    rank: 0,
    size: 2,
    allReduce: async (sums) => {
      for (const sum of sums) for (let i = 0; i < sum.length; i++) sum[i] *= 2;
    },
    allGather: async (rows, gathered) => {
      for (const at of [0, rows.length]) gathered.set(rows, at);
    },
  };
}

/** Linux: the process's memory now, and its peak since it was last reset, in bytes. */
const held = () => kibibytes('VmRSS');
const peak = () => kibibytes('VmHWM');
function kibibytes(name) {
  const text = new RegExp(`${name}:\\s*(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(text[1]) * 1024;
}
const linux = process.platform === 'linux';
let heldBefore = 0;
if (linux) {
  // With --expose-gc: what loading the state left behind is not the steps'.
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5');
  heldBefore = held();
}

const seconds = [];
/** Of all threads: what a busy machine disturbs least. */
const cpuSeconds = [];
let first = 0;
let loss = 0;
for (let i = 0; i < warmup + steps; i++) {
  const drawn = rng(0, 'perm', i);
  const all = own * replicas;
  const orders = Array.from({ length: accumulate }, () => [...drawn.permutation(all / accumulate)]);
  const perm = { shape: [all], dtype: 'int32', data: Int32Array.from(orders.flat()) };
  const cpu = process.cpuUsage();
  const before = performance.now();
  const metrics = await trainer.step(split ? { ...feeds, perm } : feeds, 0.03, i);
  const after = performance.now();
  loss = metrics.loss.data[0];
  first ||= performance.now() / 1000;
  if (i < warmup) continue;
  seconds.push((after - before) / 1000);
  const { user, system } = process.cpuUsage(cpu);
  cpuSeconds.push((user + system) / 1e6);
}
const sorted = [...seconds].sort((a, b) => a - b);
const print = world === undefined || world.rank === 0 ? console.log : () => {};
print(
  JSON.stringify({
    peer: `moco.ts ${backend.capabilities().lowering}`,
    secondsPerStep: seconds,
    cpuSecondsPerStep: cpuSeconds,
    median: sorted[sorted.length >> 1],
    secondsToFirstStep: first,
    ...(linux && { heldBytes: heldBefore, stepPeakBytes: peak() - heldBefore }),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    loss,
  }),
);
await trainer.dispose();
await world?.finalize?.();
