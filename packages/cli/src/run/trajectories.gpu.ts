import { ortPlugin } from '@moco-ts/backend-ort';
import { testTrajectories } from '@moco-ts/backend-testing';
import { webgpuPlugin } from '@moco-ts/backend-webgpu';

testTrajectories({
  ort: () => ortPlugin.create({ threads: 2 }),
  webgpu: () => webgpuPlugin.create({}),
});
