import { testBackend } from '@moco-ts/backend-testing';
import { webgpuPlugin } from './plugin.ts';

// As in Node: float32 sums of up to a few thousand terms.
testBackend(() => webgpuPlugin.create({}), { name: 'webgpu, Chromium', tolerance: 2e-5 });
