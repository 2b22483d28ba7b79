import { memoryCommunicators, testReplicas } from '@moco-ts/backend-testing';
import { ortPlugin } from './plugin.ts';

// As in the conformance kit.
const tolerance = 2e-5;

const joined = (replicas: number, block?: number) => () =>
  Promise.all(
    memoryCommunicators(replicas).map(async (communicator) => ({
      backend: await ortPlugin.create({ threads: 1, ...(block !== undefined && { block }) }),
      communicator,
    })),
  );

testReplicas(joined(2), { name: 'ort', tolerance, replicas: 2 });
testReplicas(joined(3, 0), { name: 'ort, plain NCHW', tolerance, replicas: 3 });
