// Feeds damaged files to every reader (packages/cli/src/fuzz/targets.ts): each gives one clear line or a right answer, within
// bounded memory and time, and none runs a file's code. Needs a build (npx tsc -b).
//
//   node scripts/fuzz.mjs [--count 10000] [--seed 1] [--case TARGET:INDEX] [--keep FOLDER]
//
// --case repeats one. --keep writes the files that were read, and what was read from them, for parity/fuzz_check.py.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fuzzCase } from '../packages/cli/dist/fuzz/fuzz.js';
import { fuzzTargets } from '../packages/cli/dist/fuzz/targets.js';
import { encodeSafetensors } from '../packages/core/dist/index.js';

const fixtures = join(import.meta.dirname, '..', 'parity', 'fixtures', 'exchange');
/** Without a sign of life for so long the case hangs. */
const hangSeconds = 20;
/** Megabytes: of JavaScript's heap, and above what the process has before the first case. */
const heapLimit = 256;
const growthLimit = 512;

if (isMainThread) await supervise();
else await work(workerData);

async function supervise() {
  const { values } = parseArgs({
    options: {
      count: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      case: { type: 'string' },
      keep: { type: 'string' },
    },
  });
  const before = process.resourceUsage().maxRSS / 1024;
  const started = performance.now();
  const worker = new Worker(new URL(import.meta.url), {
    workerData: values,
    resourceLimits: { maxOldGenerationSizeMb: heapLimit },
  });
  let [alive, at, faults] = [performance.now(), 'the start', 0];
  const watch = setInterval(() => {
    if (performance.now() - alive < 1000 * hangSeconds) return;
    console.error(`${at} hangs`);
    process.exit(1);
  }, 500);
  worker.on('message', (message) => {
    alive = performance.now();
    if (message.at) at = message.at;
    if (message.fault) {
      faults++;
      console.error(`${at}: ${message.fault}`);
    }
    if (message.line) console.log(message.line);
  });
  worker.on('error', (error) => {
    console.error(`${at}: ${error.message}`);
    process.exit(1);
  });
  await new Promise((resolve) => worker.on('exit', resolve));
  clearInterval(watch);
  const growth = process.resourceUsage().maxRSS / 1024 - before;
  if (growth > growthLimit) {
    faults++;
    console.error(`memory grew by ${growth.toFixed(0)} MB, more than ${growthLimit}`);
  }
  if (existsSync('code-of-a-file-was-run')) {
    faults++;
    console.error('a file ran its code');
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`seed ${values.seed}, ${seconds} s, memory grew by ${growth.toFixed(0)} MB`);
  console.log(faults === 0 ? 'no faults' : `${faults} faults`);
  process.exit(faults === 0 ? 0 : 1);
}

async function work({ count, seed, case: one, keep }) {
  const targets = await fuzzTargets(fixtures);
  const [only, index] = one?.split(':') ?? [];
  const each = Math.ceil(Number(count) / targets.length);
  for (const target of targets) {
    if (only !== undefined && only !== target.name) continue;
    const [from, to] = only === undefined ? [0, each] : [Number(index), Number(index) + 1];
    let [read, slowest] = [0, 0];
    for (let i = from; i < to; i++) {
      parentPort.postMessage({ at: `${target.name}:${i}` });
      const { bytes, tensors, milliseconds, fault } = await fuzzCase(target, Number(seed), i);
      slowest = Math.max(slowest, milliseconds);
      if (tensors) read++;
      if (fault) parentPort.postMessage({ fault });
      if (tensors && keep) kept(keep, target.name, i, bytes, tensors);
    }
    const name = target.name.padEnd(14);
    const line = `${name}${to - from} files: ${read} read, ${to - from - read} refused, the slowest ${slowest.toFixed(0)} ms`;
    parentPort.postMessage({ line });
    target.dispose?.();
  }
}

function kept(folder, target, index, bytes, tensors) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${target}-${index}`);
  writeFileSync(`${path}.file`, bytes);
  writeFileSync(`${path}.safetensors`, encodeSafetensors(tensors));
}
