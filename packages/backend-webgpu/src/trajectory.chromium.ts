import { createReference, testTrajectories } from '@moco-ts/backend-testing';
import { webgpuPlugin } from './plugin.ts';

testTrajectories({
  'webgpu, Chromium': () => webgpuPlugin.create({}),
  reference: async () => createReference(),
});
