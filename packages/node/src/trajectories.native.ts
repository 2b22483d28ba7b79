import { ortPlugin } from '@moco-ts/backend-ort';
import { createReference, testTrajectories } from '@moco-ts/backend-testing';
import { tfjsPlugin } from '@moco-ts/backend-tfjs';

testTrajectories({
  ort: () => ortPlugin.create({ threads: 2 }),
  'tfjs:wasm': () => tfjsPlugin.create({ device: 'wasm' }),
  'tfjs:node': () => tfjsPlugin.create({ device: 'node' }),
  reference: async () => createReference(),
});
