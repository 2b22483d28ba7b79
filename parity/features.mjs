// Features of a checkpoint in ONNX Runtime, as `moco knn` computes them, and its tokens; needs a build (npx tsc -b).
//
//   node parity/features.mjs CHECKPOINT IN.safetensors OUT.safetensors
//
// IN: `input` [N, 3, S, S], normalised. OUT: `features` [N, D], `tokens` [N, T, D].
import { readFileSync, writeFileSync } from 'node:fs';
import { createExtractor, decodeSafetensors, encodeSafetensors, under } from '../packages/core/dist/index.js';
import { openCheckpoint } from '../packages/node/dist/checkpoint.js';
import { openBackend } from '../packages/node/dist/open-backend.js';
import { registerPlugins } from '../packages/node/dist/plugins.js';
import { modelConfig } from '../packages/run/dist/index.js';

const [checkpoint, input, output] = process.argv.slice(2);
await registerPlugins();
const { info, tensors } = await openCheckpoint(checkpoint, console.error);
const images = decodeSafetensors(readFileSync(input), input).tensors.input;
const backend = await openBackend('ort', { threads: 1 });
const batch = images.shape[0];
const params = under('q', tensors);

async function outputs(gives) {
  const extractor = await createExtractor(backend, { ...modelConfig(info.config), gives }, params, batch);
  const data = await extractor.extract(images.data);
  await extractor.dispose();
  const { rows, dim } = extractor;
  return { shape: gives === 'tokens' ? [batch, rows, dim] : [batch, dim], dtype: 'float32', data };
}

const [features, tokens] = [await outputs('features'), await outputs('tokens')];
writeFileSync(output, encodeSafetensors({ features, tokens }));
await backend.dispose();
