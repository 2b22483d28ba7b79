import { testBackend } from '@moco-ts/backend-testing';
import { tfjsPlugin } from './plugin.ts';

// As on the CPU: float32 sums of up to a few thousand terms.
testBackend(() => tfjsPlugin.create({ device: 'node-gpu' }), { name: 'tfjs:node-gpu', tolerance: 2e-5 });
