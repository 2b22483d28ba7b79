import { ortPlugin } from '@moco-ts/backend-ort';
import { createReference, testTrajectories } from '@moco-ts/backend-testing';
import { xlaPlugin } from '@moco-ts/backend-xla';

testTrajectories({
  ort: () => ortPlugin.create({ threads: 2 }),
  'xla:cpu': () => xlaPlugin.create({ device: process.env.MOCO_XLA! }),
  reference: async () => createReference(),
});
