import { testBackend } from '@moco-ts/backend-testing';
import { tfjsPlugin } from './plugin.ts';

// As on the other devices: float32 sums of up to a few thousand terms.
testBackend(() => tfjsPlugin.create({ device: 'node' }), { name: 'tfjs:node', tolerance: 2e-5 });
