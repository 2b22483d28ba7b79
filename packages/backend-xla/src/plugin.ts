/** The XLA backend: `xla:cpu`, `xla:cuda`, and `xla:PATH` for any other PJRT plugin. */
import { type BackendDevice, defineBackend } from '@moco-ts/core';

const devices: readonly BackendDevice[] = [
  { name: 'xla:cpu', speed: 'training', needs: 'driver' },
  { name: 'xla:cuda', speed: 'training', gpu: true, needs: 'driver' },
];

export const xlaPlugin = defineBackend({
  name: 'xla',
  devices: () => devices,
  // Devices are listed on machines, too, for which there is no native part.
  create: async (options) => (await import('./open.ts')).openDevice(options),
});
