import { testBackend } from '@moco-ts/backend-testing';
import { ortPlugin } from './plugin.ts';

// Float32 sums of up to a few thousand terms against float64: 2e-5 of the largest value leaves a factor of about ten.
const tolerance = 2e-5;

testBackend(() => ortPlugin.create({ threads: 2 }), {
  name: 'ort',
  tolerance,
  repeatsBits: true,
});
testBackend(() => ortPlugin.create({ threads: 1, deterministic: true }), {
  name: 'ort, 1 thread',
  tolerance,
});
testBackend(() => ortPlugin.create({ threads: 2, block: 0 }), { name: 'ort, plain NCHW', tolerance });
