/** Where plugins lie: PJRT's are shared libraries in Python wheels, which are zip files that need no Python. */
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { BackendError } from '@moco-ts/core';

/** The devices that have a name, and where their plugins lie in a folder of Python packages, best first. */
const plugins: Readonly<Record<string, readonly string[]>> = {
  cpu: ['lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so', 'fastatomstruct_xla_cpu/libpjrt_cpu.so'],
  cuda: ['jax_plugins/xla_cuda13/xla_cuda_plugin.so', 'jax_plugins/xla_cuda12/xla_cuda_plugin.so'],
};

/** How the folder of a plugin begins that is not there whole yet. */
export const UNPACKING = '.unpacking-';

/** The names behind the colon of `xla:cuda`. */
const xlaDevices = Object.keys(plugins);

/**
 * The plugin of a device.
 * @param device a name, or the path of any plugin
 * @throws BackendError that says how to get it
 */
export function locatePlugin(device: string, env: NodeJS.ProcessEnv = process.env): string {
  if (process.platform !== 'linux')
    throw new BackendError(
      `xla runs on Linux alone: there are no PJRT plugins for ${process.platform} that it knows; use ort, or webgpu for this machine's GPU`,
      { code: 'backend-unavailable' },
    );
  const known = Object.hasOwn(plugins, device) ? plugins[device] : undefined;
  if (!known) {
    const path = resolve(device);
    if ((isAbsolute(device) || device.includes('/') || device.endsWith('.so')) && existsSync(path))
      return path;
    throw new BackendError(
      `xla has no device "${device}", and there is no such file; known are: ${xlaDevices.join(', ')}, or the path of a PJRT plugin`,
      { code: 'backend-unknown', setting: 'backend', value: `xla:${device}` },
    );
  }
  for (const folder of packageFolders(env))
    for (const file of known) {
      const path = join(folder, file);
      if (existsSync(path)) return path;
    }
  throw new BackendError(
    `xla:${device} needs a PJRT plugin, and none is installed: moco backends install xla:${device}`,
    { code: 'backend-unavailable' },
  );
}

/** Where wheels are unpacked by `moco backends install`. */
export function pluginCache(env: NodeJS.ProcessEnv = process.env): string {
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'moco', 'xla');
}

/** The cache, then the folders of Python packages: of the active environment, the user's, the system's. */
function packageFolders(env: NodeJS.ProcessEnv): string[] {
  const roots = [env.VIRTUAL_ENV, env.CONDA_PREFIX, join(homedir(), '.local'), '/usr/local', '/usr'];
  const inLib = roots.flatMap((root) => (root ? pythonFolders(join(root, 'lib')) : []));
  const cached = foldersOf(pluginCache(env)).flatMap(foldersOf);
  return [...cached.filter((folder) => !basename(folder).startsWith(UNPACKING)), ...inLib];
}

const pythonFolders = (lib: string): string[] =>
  foldersOf(lib)
    .filter((folder) => /\/python3[^/]*$/.test(folder))
    .flatMap((folder) => [join(folder, 'site-packages'), join(folder, 'dist-packages')]);

function foldersOf(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name));
  } catch {
    return [];
  }
}
