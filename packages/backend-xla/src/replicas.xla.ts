/** The kit's suites of replicas: on devices of one process, and of processes with a device each. */
import { type Member, memoryCommunicators, testReplicas } from '@moco-ts/backend-testing';
import { xlaPlugin } from './plugin.ts';

const open = (devices?: number) => xlaPlugin.create({ device: process.env.MOCO_XLA!, devices });

// As in conformance.xla.ts.
const tolerance = 2e-5;

for (const replicas of [2, 4])
  testReplicas(async () => [{ backend: await open(replicas) }], {
    name: 'xla, devices',
    tolerance,
    replicas,
  });

testReplicas(
  () =>
    Promise.all(
      memoryCommunicators(2).map(
        async (communicator): Promise<Member> => ({ backend: await open(), communicator }),
      ),
    ),
  { name: 'xla, joined', tolerance, replicas: 2 },
);
