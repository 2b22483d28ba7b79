/** Opens a device: what is native is loaded here, and not before. */
import { type Backend, BackendError, type DeviceMemory, precisions } from '@moco-ts/core';
import { cudaFailure } from './cuda.ts';
import { dtypes, PjrtClient } from './pjrt/client.ts';
import type { Options } from './pjrt/options.ts';
import { PjrtError, PjrtPlugin } from './pjrt/plugin.ts';
import { compileProgram } from './program.ts';

/** What a client is created with: a GPU's memory is taken as it is needed, not three quarters of it at once. */
const clientOptions: Readonly<Record<string, Options>> = {
  cuda: { preallocate: false, memory_fraction: 0.95 },
};

/** A plugin stays loaded while the process lives: one client serves one backend. */
const loaded = new Map<string, PjrtPlugin>();

/**
 * @param path the plugin's
 * @param device a device's name, or the same path
 */
export async function openDevice(path: string, device: string): Promise<Backend> {
  let plugin = loaded.get(path);
  if (!plugin) {
    plugin = new PjrtPlugin(path);
    loaded.set(path, plugin);
  }
  const client = await openClient(plugin, device);
  return {
    name: 'xla',
    device: `${client.platform}, ${client.deviceKind}, PJRT ${plugin.version.join('.')}`,
    details: `PJRT ${plugin.version.join('.')}; ${devicesText(client)}; ${memoryText(memoryOf(client))}; ${path}`,
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes,
      lowering: 'StableHLO',
      overlapping: true,
      byteImages: true,
      precisions,
    }),
    memory: () => memoryOf(client),
    compile: (graph, options = {}) => compileProgram(client, graph, options),
    dispose: async () => client.destroy(),
  };
}

async function openClient(plugin: PjrtPlugin, device: string): Promise<PjrtClient> {
  try {
    return await PjrtClient.create(plugin, clientOptions[device] ?? {});
  } catch (error) {
    const cause = device === 'cuda' ? cudaFailure() : undefined;
    if (!(error instanceof PjrtError) || cause === undefined) throw error;
    throw new BackendError(`xla:cuda found no GPU: ${cause}`, { code: 'backend-unavailable' });
  }
}

function memoryOf(client: PjrtClient): DeviceMemory | undefined {
  try {
    return client.memory();
  } catch (error) {
    if (!(error instanceof PjrtError)) throw error;
    return undefined;
  }
}

function devicesText({ devices, deviceKind }: PjrtClient): string {
  return `${devices === 1 ? 'one device' : `the first of ${devices} devices`} (${deviceKind})`;
}

function memoryText(memory: DeviceMemory | undefined): string {
  if (!memory) return 'the plugin counts no memory';
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const { inUse, limit } = memory;
  return `memory in use: ${gib(inUse)}${limit === undefined ? '' : ` of ${gib(limit)}`}`;
}
