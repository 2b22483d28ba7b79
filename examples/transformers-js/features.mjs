// Features of images by transformers.js, from a folder of `moco export --transformers-js`: no network.
//
//   npm install @huggingface/transformers
//   moco export runs/photos -o models/photos --transformers-js --precision int8
//   node features.mjs models/photos q8 image.png ...        # dtype: fp32, fp16 or q8
import { basename, dirname, resolve } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';

const [folder, dtype, ...images] = process.argv.slice(2);
// ONNX Runtime, which it brings, would send usage data.
process.env.ORT_DISABLE_TELEMETRY = '1';
env.allowRemoteModels = false;
env.localModelPath = dirname(resolve(folder));

const extractor = await pipeline('image-feature-extraction', basename(folder), { dtype });
const features = await extractor(images);
console.log(JSON.stringify(features.tolist()));
