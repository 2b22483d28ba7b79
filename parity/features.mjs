// Features of a checkpoint in ONNX Runtime, as `moco knn` computes them; needs a build (npx tsc -b).
//
//   node parity/features.mjs CHECKPOINT IN.safetensors OUT.safetensors
//
// IN: `input` [N, 3, S, S], normalised. OUT: `features` [N, D].
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
const extractor = await createExtractor(backend, modelConfig(info.config), under('q', tensors), batch);
const data = await extractor.extract(images.data);
const features = { shape: [batch, extractor.dim], dtype: 'float32', data };
writeFileSync(output, encodeSafetensors({ features }));
await extractor.dispose();
await backend.dispose();
