/** Fetches a device's plugin and the libraries that it needs, by hash, and unpacks them into the cache. No Python is needed. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BackendError } from '@moco-ts/core';
import { pluginCache, UNPACKING } from '../locate.ts';
import { fetched, fileAddress, reasonOf } from './package-index.ts';
import { unpack } from './unpack.ts';
import type { Wheel } from './wheel.ts';
import { wheels } from './wheels.ts';

/** What is to be installed for a device, and where. */
export interface InstallPlan {
  readonly device: string;
  readonly wheels: readonly Wheel[];
  /** Of the download. Unpacked it is about twice as much. */
  readonly bytes: number;
  readonly folder: string;
  readonly installed: boolean;
}

/** @throws BackendError for a device without a pinned plugin, or a machine that none is built for */
export function planInstall(device: string, env: NodeJS.ProcessEnv = process.env): InstallPlan {
  const pinned = Object.hasOwn(wheels, device) ? wheels[device] : undefined;
  if (!pinned)
    throw new BackendError(
      `there is no pinned plugin for xla:${device}; known are: ${Object.keys(wheels).join(', ')}`,
    );
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new BackendError(
      `the pinned plugins are for Linux on x64, not ${process.platform} on ${process.arch}`,
    );
  const folder = join(pluginCache(env), device);
  return {
    device,
    wheels: pinned,
    bytes: pinned.reduce((total, { bytes }) => total + bytes, 0),
    folder: join(folder, pinned[0]!.sha256.slice(0, 12)),
    installed: existsSync(join(folder, pinned[0]!.sha256.slice(0, 12))),
  };
}

/** Where wheels come from: a folder that has them, or a package index (PEP 503 or 691). */
export type WheelSource = { readonly from: string } | { readonly index: string };

export interface InstallOptions {
  readonly signal?: AbortSignal;
  /** Called before each wheel. */
  readonly onWheel?: (wheel: Wheel) => void;
}

/**
 * Installs what was planned; a plugin is there whole or not at all. What an install that was killed left behind goes: so the caller
 * holds a lock of the folder above.
 * @throws BackendError for a wheel that is missing, can't be fetched, or has another hash
 */
export async function installPlugin(
  plan: InstallPlan,
  source: WheelSource,
  { signal, onWheel }: InstallOptions = {},
): Promise<void> {
  if ('from' in source) checkFolder(source.from, plan.wheels);
  const parent = dirname(plan.folder);
  await mkdir(parent, { recursive: true });
  for (const name of await readdir(parent))
    if (name.startsWith(UNPACKING)) await rm(join(parent, name), { recursive: true, force: true });
  const work = await mkdtemp(join(parent, UNPACKING));
  try {
    const packages = join(work, 'packages');
    await mkdir(packages);
    for (const wheel of plan.wheels) {
      signal?.throwIfAborted();
      onWheel?.(wheel);
      const path = join('from' in source ? source.from : work, wheel.file);
      if ('index' in source) await download(source.index, wheel, path, signal);
      await checkHash(path, wheel);
      await unpack(path, packages, signal);
      if ('index' in source) await rm(path);
    }
    await rename(packages, plan.folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** All of it before the first is unpacked: they have gigabytes. */
function checkFolder(folder: string, wheels: readonly Wheel[]): void {
  const missing = wheels.map(({ file }) => file).filter((file) => !existsSync(join(folder, file)));
  const others =
    missing.length > 1 ? `, nor ${missing.length - 1} more of the ${wheels.length} that are needed` : '';
  if (missing.length > 0) throw new BackendError(`${folder} has no ${missing[0]}${others}`);
}

async function download(index: string, wheel: Wheel, path: string, signal?: AbortSignal): Promise<void> {
  const address = await fileAddress(index, wheel.package, wheel.file, signal);
  const answer = await fetched(address, signal ? { signal } : {});
  if (!answer.body) throw new BackendError(`${wheel.file} came without a body`);
  try {
    await pipeline(
      Readable.fromWeb(answer.body as import('node:stream/web').ReadableStream),
      createWriteStream(path),
    );
  } catch (error) {
    // What the network does to a body is a TypeError of fetch; the disk's faults are the system's.
    if (!(error instanceof TypeError)) throw error;
    throw new BackendError(`${wheel.file} broke off (${reasonOf(error)}): run the same command again`, {
      code: 'backend-unavailable',
    });
  }
}

async function checkHash(path: string, { file, sha256 }: Wheel): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const actual = hash.digest('hex');
  if (actual !== sha256)
    throw new BackendError(
      `${file} is not the file that was pinned: its SHA-256 is ${actual}, not ${sha256}`,
    );
}
