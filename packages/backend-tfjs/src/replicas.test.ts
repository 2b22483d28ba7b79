import { memoryCommunicators, testReplicas } from '@moco-ts/backend-testing';
import { tfjsPlugin } from './plugin.ts';

// As in the conformance kit.
const tolerance = 2e-5;

/** All on one device: tfjs starts one at a time. */
const joined = (device: string, replicas: number) => async () => {
  const backend = await tfjsPlugin.create({ device });
  return memoryCommunicators(replicas).map((communicator) => ({ backend, communicator }));
};

testReplicas(joined('wasm', 3), { name: 'tfjs:wasm', tolerance, replicas: 3 });
testReplicas(joined('cpu', 2), { name: 'tfjs:cpu', tolerance, replicas: 2 });
