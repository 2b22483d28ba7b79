// The conformance kit on a machine that has Node and a GPU and nothing else (pack.mjs bundles it). Ends with "N passed, N failed".
//
//   node kit.mjs webgpu|reference [--out FILE.json] [--seconds 90] [--only PATTERN] [--shard 0/4]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createReference, testBackend } from '../../packages/backend-testing/dist/index.js';
import { webgpuPlugin } from '../../packages/backend-webgpu/dist/index.js';
import { runTests } from './suites.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    seconds: { type: 'string', default: 'Infinity' },
    only: { type: 'string', default: '.' },
    shard: { type: 'string', default: '0/1' },
  },
});
/** `reference` is the oracle itself: it shows that the kit runs here, without a GPU. */
const backends = { webgpu: () => webgpuPlugin.create({}), reference: async () => createReference() };
const [name = 'webgpu'] = positionals;
if (!Object.hasOwn(backends, name)) {
  console.error(`no backend "${name}"; there are: ${Object.keys(backends).join(', ')}`);
  process.exit(2);
}

const began = performance.now();
const results = [];
const backend = await backends[name]().catch((error) => {
  console.error(error.message);
  process.exit(2);
});
console.log(`${name} on ${backend.device}`);
// As on the CPU: float32 sums of up to a few thousand terms.
testBackend(async () => backend, { name, tolerance: 2e-5 });
const left = await runTests({
  only: new RegExp(values.only),
  shard: values.shard.split('/').map(Number),
  seconds: Number(values.seconds),
  each: (result) => {
    results.push(result);
    if (result.message) console.log(`failed: ${result.name}: ${result.message}`);
    if (results.length % 50 === 0) save();
  },
});
save();
summary();

/** Saved on the way too: a driver that fails may end the process. */
function save() {
  if (!values.out) return;
  const seconds = (performance.now() - began) / 1000;
  writeFileSync(values.out, `${JSON.stringify({ name, device: backend.device, seconds, left, results })}\n`);
}

function summary() {
  const failed = results.filter(({ message }) => message).length;
  const worst = results.reduce((a, b) => ((b.error ?? 0) > (a.error ?? 0) ? b : a), { error: 0 });
  if (worst.name)
    console.log(`worst error: ${Math.round(worst.error * 100)} % of the allowed one, ${worst.name}`);
  if (left > 0) console.log(`${left} left out for want of time`);
  console.log(`${results.length - failed} passed, ${failed} failed`);
  process.exit(failed + left > 0 || results.length === 0 ? 1 : 0);
}
