import { testBackend } from '@moco-ts/backend-testing';
import { xlaPlugin } from './plugin.ts';

/** The plugin's path, and whether it is the one of the older API: scripts/test-xla.sh. */
const { MOCO_XLA: path, MOCO_XLA_OLDER: older } = process.env;

// As on the other devices: float32 sums of up to a few thousand terms.
const kit = older ? { name: 'xla:cpu, PJRT 0.106', tolerance: 2e-5 } : { name: 'xla:cpu', tolerance: 2e-5 };

testBackend(() => xlaPlugin.create({ device: path! }), kit);
