import { testBackend } from '@moco-ts/backend-testing';
import { ortPlugin } from './plugin.ts';

// As on the CPU: float32 sums of up to a few thousand terms, in full float32.
testBackend(() => ortPlugin.create({ device: 'cuda' }), { name: 'ort:cuda', tolerance: 2e-5 });
