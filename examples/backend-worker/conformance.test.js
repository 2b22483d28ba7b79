import { testBackend } from '@moco-ts/backend-testing';
import { workerBackend } from './index.js';

// float64 inside, float32 between graphs.
testBackend(() => workerBackend.create({}), { name: 'worker', tolerance: 2e-5 });
