// The conformance kit on a machine that has Node and a GPU and nothing else (pack.mjs bundles it). Ends with "N passed, N failed".
//
//   node kit.mjs xla:cuda|webgpu|reference|... [--out FILE.json] [--seconds 90] [--only PATTERN] [--processes 8]
//   node kit.mjs xla:cuda --precision tf32      what the lower precision costs: errors are told, and no case fails by them
import { spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { testBackend } from '../../packages/backend-testing/dist/index.js';
import { inPrecision } from '../../packages/core/dist/index.js';
import { openBackend } from '../../packages/node/dist/index.js';
import { runTests } from './suites.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    seconds: { type: 'string', default: 'Infinity' },
    only: { type: 'string', default: '.' },
    precision: { type: 'string', default: 'fp32' },
    processes: { type: 'string', default: '1' },
    shard: { type: 'string' },
  },
});
const [name = 'webgpu'] = positionals;
/** Of an op in float32: sums of up to a few thousand terms. */
const TOLERANCE = 2e-5;
/** Of the largest value: no precision is so low. */
const ANY = 1;
const measured = values.precision !== 'fp32';
const began = performance.now();
const report =
  values.shard || values.processes === '1' ? await run() : await shared(Number(values.processes));
report.seconds = Math.round((performance.now() - began) / 1000);
save(report);
if (!values.shard) summary(report);

/** This process's part of the kit. */
async function run() {
  const opened = await openBackend(name).catch((error) => {
    console.error(error.message);
    process.exit(2);
  });
  const backend = measured ? rounding(opened, values.precision) : opened;
  const tolerance = measured ? ANY : TOLERANCE;
  const made = {
    backend: name,
    device: backend.device,
    precision: values.precision,
    tolerance,
    left: 0,
    cases: [],
  };
  if (!values.shard) console.log(`${name} on ${backend.device}`);
  testBackend(async () => backend, { name, tolerance, reduced: measured ? [] : reducedOf(opened) });
  made.left = await runTests({
    only: new RegExp(values.only),
    shard: (values.shard ?? '0/1').split('/').map(Number),
    seconds: Number(values.seconds),
    each: (result) => {
      made.cases.push(result);
      if (result.message) console.log(`failed: ${result.name}: ${result.message}`);
      // A driver that fails may end the process.
      if (made.cases.length % 50 === 0) save(made);
    },
  });
  return made;
}

/** A backend whose graphs compute in a lower precision. What is expected of them stays what it was. */
function rounding(backend, precision) {
  const compile = (graph, options = {}) => backend.compile(...inPrecision(graph, options, precision));
  return { ...backend, compile };
}

/** The types of two bytes that a backend computes in. */
function reducedOf(backend) {
  const { precisions = [] } = backend.capabilities();
  const types = { bf16: 'bfloat16', fp16: 'float16' };
  return Object.keys(types)
    .filter((precision) => precisions.includes(precision))
    .map((precision) => types[precision]);
}

/** The kit in several processes: compiling is most of the work. */
async function shared(processes) {
  const files = Array.from({ length: processes }, (_, i) => `${values.out ?? 'kit'}.${i}`);
  const ends = files.map((file, i) => {
    const own = ['--out', file, '--shard', `${i}/${processes}`, '--seconds', values.seconds];
    const args = [name, ...own, '--only', values.only, '--precision', values.precision];
    const child = spawn(process.execPath, [process.argv[1], ...args], { stdio: 'inherit' });
    return new Promise((done) => child.on('close', done));
  });
  await Promise.all(ends);
  const shards = files.flatMap((file) => {
    try {
      return [JSON.parse(readFileSync(file, 'utf8'))];
    } catch {
      return [];
    } finally {
      rmSync(file, { force: true });
    }
  });
  if (shards.length === 0) process.exit(2);
  return {
    ...shards[0],
    left: shards.reduce((total, { left }) => total + left, 0),
    broken: processes - shards.filter(({ seconds }) => seconds !== undefined).length,
    cases: shards.flatMap(({ cases }) => cases),
  };
}

function save({ cases, ...facts }) {
  if (!values.out) return;
  const failed = cases.filter(({ message }) => message);
  const worst = cases.reduce((a, b) => ((b.error ?? 0) > a.error ? b : a), { error: 0 });
  const counts = { passed: cases.length - failed.length, failed: failed.length };
  const report = {
    ...facts,
    ...counts,
    worst: worst.name && { name: worst.name, error: worst.error },
    byOp: byOp(cases),
    cases,
  };
  writeFileSync(values.out, `${JSON.stringify(report)}\n`);
}

/** The worst error of each op, as a part of the largest value. */
function byOp(cases) {
  const worst = {};
  for (const { name: test, error, tolerance } of cases) {
    const op = test.split(' > ')[1];
    if (error !== undefined) worst[op] = Math.max(worst[op] ?? 0, error * tolerance);
  }
  return worst;
}

function summary({ cases, left, broken = 0, tolerance }) {
  const failed = cases.filter(({ message }) => message).length;
  const worst = cases.reduce((a, b) => ((b.error ?? 0) > a.error ? b : a), { error: 0 });
  const share = measured ? (worst.error * tolerance).toExponential(1) : `${Math.round(worst.error * 100)} %`;
  if (worst.name)
    console.log(`worst error: ${share} of the ${measured ? 'largest value' : 'allowed one'}, ${worst.name}`);
  if (left > 0) console.log(`${left} left out for want of time`);
  if (broken > 0) console.log(`${broken} processes ended before their tests did`);
  console.log(`${cases.length - failed} passed, ${failed} failed`);
  process.exit(failed + left + broken > 0 || cases.length === 0 ? 1 : 0);
}
