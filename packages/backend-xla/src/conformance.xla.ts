import { testBackend } from '@moco-ts/backend-testing';
import { xlaPlugin } from './plugin.ts';

/** The plugin's path, and whether it is the one of the older API: scripts/test-xla.sh. */
const { MOCO_XLA: path, MOCO_XLA_OLDER: older } = process.env;

// As on the other devices: float32 sums of up to a few thousand terms.
const kit = { tolerance: 2e-5, reduced: ['bfloat16', 'float16'] } as const;

testBackend(
  () => xlaPlugin.create({ device: path! }),
  older ? { name: 'xla:cpu, PJRT 0.106', ...kit } : { name: 'xla:cpu', ...kit },
);
