import { testBackend } from '@moco-ts/backend-testing';
import { xlaPlugin } from './plugin.ts';

// As on the CPU: products run at XLA's highest precision, and sums have up to a few thousand terms.
testBackend(() => xlaPlugin.create({ device: 'cuda' }), { name: 'xla:cuda', tolerance: 2e-5 });
