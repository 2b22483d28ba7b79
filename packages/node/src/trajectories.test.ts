import { ortPlugin } from '@moco-ts/backend-ort';
import { createReference, testTrajectories } from '@moco-ts/backend-testing';
import { tfjsPlugin } from '@moco-ts/backend-tfjs';

testTrajectories({
  ort: () => ortPlugin.create({ threads: 2 }),
  'ort, plain NCHW': () => ortPlugin.create({ threads: 2, block: 0 }),
  'tfjs:cpu': () => tfjsPlugin.create({ device: 'cpu' }),
  'tfjs:wasm': () => tfjsPlugin.create({ device: 'wasm' }),
  reference: async () => createReference(),
});
