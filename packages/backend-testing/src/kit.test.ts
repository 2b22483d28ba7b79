/** The kit on the oracle itself: it must pass there, up to the rounding of results to float32. */
import { createReference, testBackend, testReplicas } from './index.ts';

testBackend(async () => createReference(), {
  name: 'reference',
  tolerance: 1e-7,
  repeatsBits: true,
  reduced: ['bfloat16', 'float16'],
});

testReplicas(async () => [{ backend: createReference(2) }], {
  name: 'reference',
  tolerance: 1e-7,
  replicas: 2,
});
