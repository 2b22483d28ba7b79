/** Opens a device: what is native is loaded here, and not before. */
import { type Backend, BackendError, type DeviceMemory, precisions } from '@moco-ts/core';
import { cudaFailure } from './cuda.ts';
import { chosenDevices, expectDevices } from './devices.ts';
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
 * @param choice which devices compute: {@link chosenDevices}
 * @throws BackendError where they are not there
 */
export async function openDevice(path: string, device: string, choice?: unknown): Promise<Backend> {
  const chosen = chosenDevices(choice);
  // Else XLA tells the user what it is asked for.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  if (device !== 'cuda' && chosen?.length !== 1) bePatient();
  let plugin = loaded.get(path);
  if (!plugin) {
    plugin = new PjrtPlugin(path);
    loaded.set(path, plugin);
  }
  const client = await openClient(plugin, device, chosen);
  try {
    if (chosen) expectDevices(chosen, client.available.length, choice);
  } catch (error) {
    client.destroy();
    throw error;
  }
  const { length: replicas } = client.devices;
  const kind = replicas === 1 ? client.deviceKind : `${replicas} x ${client.deviceKind}`;
  return {
    name: 'xla',
    replicas,
    device: `${client.platform}, ${kind}, PJRT ${plugin.version.join('.')}`,
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

/**
 * Devices of a CPU share its cores, and wait for the slowest. XLA ends a process after a minute of that, unless it is told before a plugin
 * makes its first client.
 */
function bePatient(): void {
  const flag = (name: string) => `--${name}=86400`;
  const flags = ['warn_stuck', 'terminate'].map((what) =>
    flag(`xla_cpu_collective_call_${what}_timeout_seconds`),
  );
  const { XLA_FLAGS: before = '' } = process.env;
  // What comes last counts: what the user says.
  if (!before.startsWith(flags[0]!)) process.env.XLA_FLAGS = [...flags, before].join(' ').trim();
}

async function openClient(
  plugin: PjrtPlugin,
  device: string,
  chosen: readonly number[] | undefined,
): Promise<PjrtClient> {
  try {
    const client = await PjrtClient.create(plugin, clientOptions[device], chosen);
    const asked = Math.max(0, ...(chosen ?? [])) + 1;
    if (client.platform !== 'cpu' || asked <= client.available.length) return client;
    // A CPU is as many devices as it is asked to be.
    client.destroy();
    return await PjrtClient.create(plugin, { cpu_device_count: BigInt(asked) }, chosen);
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

function devicesText({ available: { length }, devices, deviceKind }: PjrtClient): string {
  const chosen = devices.length === 1 ? 'the first' : devices.length;
  const which = devices.length === length ? `all ${length} devices` : `${chosen} of ${length} devices`;
  return `${length === 1 ? 'one device' : which} (${deviceKind})`;
}

function memoryText(memory: DeviceMemory | undefined): string {
  if (!memory) return 'the plugin counts no memory';
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const { inUse, limit } = memory;
  return `memory in use: ${gib(inUse)}${limit === undefined ? '' : ` of ${gib(limit)}`}`;
}
