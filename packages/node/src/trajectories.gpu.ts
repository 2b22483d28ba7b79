import { ortPlugin } from '@moco-ts/backend-ort';
import { createReference, testTrajectories } from '@moco-ts/backend-testing';
import { tfjsPlugin } from '@moco-ts/backend-tfjs';
import { webgpuPlugin } from '@moco-ts/backend-webgpu';

testTrajectories({
  ort: () => ortPlugin.create({ threads: 2 }),
  'tfjs:wasm': () => tfjsPlugin.create({ device: 'wasm' }),
  webgpu: () => webgpuPlugin.create({}),
  reference: async () => createReference(),
});
