// Runs models in onnxruntime-web (WebAssembly) and onnxruntime-node on the same input: node ort-web-check.mjs FOLDER MODEL...
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, ...models] = process.argv.slice(2);
const web = await import(
  pathToFileURL(createRequire(join(folder, 'package.json')).resolve('onnxruntime-web')).href
);
const node = createRequire(new URL('../packages/backend-ort/package.json', import.meta.url))(
  'onnxruntime-node',
);

/** Relative to the largest feature: float32 sums in another order. */
const tolerance = 1e-5;
let failed = 0;
for (const model of models) {
  const results = [];
  for (const runtime of [web.default ?? web, node]) {
    const session = await runtime.InferenceSession.create(readFileSync(model));
    const raw = session.inputNames[0] === 'images';
    const dims = raw ? [3, 20, 30, 3] : [3, 3, 16, 16];
    const size = dims.reduce((product, extent) => product * extent);
    const values = Array.from({ length: size }, (_, i) => (i * 7919) % 256);
    const data = raw ? Uint8Array.from(values) : Float32Array.from(values, (value) => value / 64 - 2);
    const input = new runtime.Tensor(raw ? 'uint8' : 'float32', data, dims);
    const { features } = await session.run({ [session.inputNames[0]]: input });
    results.push(features.data);
  }
  const [a, b] = results;
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const apart = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0) / largest;
  const passes = a.length === b.length && largest > 0 && apart < tolerance;
  if (!passes) failed++;
  console.log(
    `${passes ? 'ok' : 'FAILED'} ${basename(model)}: ${a.length / 3} features, ${apart.toExponential(1)} apart`,
  );
}
console.log(`${models.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && models.length > 0 ? 0 : 1;
