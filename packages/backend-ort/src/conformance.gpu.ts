import { testBackend } from '@moco-ts/backend-testing';
import { ortPlugin } from './plugin.ts';

// As on the CPU: float32 sums of up to a few thousand terms.
testBackend(() => ortPlugin.create({ device: 'webgpu' }), {
  name: 'ort:webgpu',
  tolerance: 2e-5,
  inferenceOnly: true,
});
