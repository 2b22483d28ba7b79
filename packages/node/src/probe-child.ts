/** A process that tries a device of a backend, and sends what it found: started by `backends.ts`. */
import type { BackendDevice } from '@moco-ts/core';
import { probeHere } from './backends.ts';
import { loadPlugins } from './plugins.ts';

const [device = '{}', ...plugins] = process.argv.slice(2);
await loadPlugins(plugins);
const result = await probeHere(JSON.parse(device) as BackendDevice);
process.send?.(result, () => process.exit(0));
