// Features by transformers.js and by onnxruntime-node on the same model and images: node transformers-js-check.mjs FOLDER
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRuntime } from '../packages/backend-ort/dist/index.js';
import { applyEvalTransform, encodePng, openDataset, resize } from '../packages/data/dist/index.js';

const [folder] = process.argv.slice(2);
const ort = await loadRuntime();
const models = join(folder, 'models', 'emoji');
const SIZE = 32;
const { image_mean: mean, image_std: std } = JSON.parse(
  readFileSync(join(models, 'preprocessor_config.json'), 'utf8'),
);

// Of the model's size already: libraries resize each in its own way.
const dataset = await openDataset('emoji');
const images = await Promise.all(
  [0, 500, 1000].map(async (index) => resize(await dataset.decode(index), SIZE, SIZE)),
);
const files = await Promise.all(
  images.map(async (image, i) => {
    const path = join(folder, `image-${i}.png`);
    writeFileSync(path, await encodePng(image));
    return path;
  }),
);
const data = new Float32Array(files.length * 3 * SIZE * SIZE);
images.forEach((image, i) => {
  applyEvalTransform(image, { size: SIZE, mean, std }, SIZE, data, i * 3 * SIZE * SIZE);
});

/** Cosine distance: what rounding in another version of the runtime, and in fewer bits, leaves. */
const tolerance = { fp32: 1e-6, fp16: 1e-4, q8: 1e-3 };
let failed = 0;
for (const [dtype, file] of Object.entries({ fp32: 'model', fp16: 'model_fp16', q8: 'model_quantized' })) {
  const output = execFileSync(process.execPath, [join(folder, 'features.mjs'), models, dtype, ...files], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const actual = JSON.parse(output.trim().split('\n').at(-1));
  const session = await ort.InferenceSession.create(join(models, 'onnx', `${file}.onnx`));
  const { image_embeds } = await session.run({
    pixel_values: new ort.Tensor('float32', data, [files.length, 3, SIZE, SIZE]),
  });
  const dim = image_embeds.dims[1];
  const distances = actual.map((row, i) => {
    const expected = image_embeds.data.subarray(i * dim, (i + 1) * dim);
    return row.length === dim ? 1 - cosine(row, expected) : 1;
  });
  const worst = Math.max(...distances);
  const passes = distances.length === files.length && worst < tolerance[dtype];
  if (!passes) failed++;
  console.log(
    `${passes ? 'ok' : 'FAILED'} ${dtype}: ${dim} features, cosine distance ${worst.toExponential(1)}`,
  );
}
console.log(`${3 - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function cosine(a, b) {
  let [dot, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    left += a[i] ** 2;
    right += b[i] ** 2;
  }
  return dot / Math.sqrt(left * right);
}
