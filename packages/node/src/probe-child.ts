/** A process that tries a device of a backend, and sends what it found: started by `backends.ts`. */
import type { BackendDevice, EncoderTraits } from '@moco-ts/core';
import { probeHere } from './backends.ts';
import { loadPlugins } from './plugins.ts';

const [device = '{}', family = 'resnet', ...plugins] = process.argv.slice(2);
await loadPlugins(plugins);
const result = await probeHere(JSON.parse(device) as BackendDevice, family as EncoderTraits['family']);
process.send?.(result, () => process.exit(0));
