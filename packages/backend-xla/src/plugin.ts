/** The XLA backend: `xla:cpu`, `xla:cuda`, and `xla:PATH` for any other PJRT plugin. */
import { type BackendDevice, BackendError, defineBackend, precisions } from '@moco-ts/core';
import { locatePlugin } from './locate.ts';

const devices: readonly BackendDevice[] = [
  { name: 'xla:cpu', speed: 'training', needs: 'driver', precisions },
  { name: 'xla:cuda', speed: 'training', gpu: true, needs: 'driver', precisions },
];

export const xlaPlugin = defineBackend({
  name: 'xla',
  devices: () => devices,
  // Devices are listed, and modules written, on machines, too, for which there is no native part.
  create: async ({ device = 'cpu', devices: chosen }) => {
    const path = locatePlugin(device);
    return (await nativePart()).openDevice(path, device, chosen);
  },
  lower: async (graph, options) => (await import('./module-of.ts')).moduleOf(graph, options).text,
});

async function nativePart() {
  try {
    return await import('./open.ts');
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new BackendError(
      `xla can call no plugin here, since koffi does not load (${reason}): install it with its optional packages, npm install koffi`,
      { code: 'backend-unavailable', cause },
    );
  }
}
