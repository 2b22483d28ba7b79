/** The kit on the oracle itself: it must pass there, up to the rounding of results to float32. */
import { createReference, testBackend } from './index.ts';

testBackend(async () => createReference(), {
  name: 'reference',
  tolerance: 1e-7,
  repeatsBits: true,
  reduced: ['bfloat16', 'float16'],
});
