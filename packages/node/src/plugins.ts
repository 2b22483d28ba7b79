/** What the command knows by name: methods, encoders, backends and log sinks. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Backend,
  type BackendDevice,
  BackendError,
  type BackendOptions,
  type BackendPlugin,
  backendDevices,
  createBackend,
  type Encoder,
  registerBackend,
  registerEncoder,
  say,
  settingRef,
  UserError,
} from '@moco-ts/core';
import { type LogSinkPlugin, type MethodPlugin, registerLogSink, registerMethod } from '@moco-ts/run';
import { mlflowSink } from './sinks/mlflow.ts';
import { tensorboardSink } from './sinks/tensorboard.ts';

/** The backends that come with the command, the usual first. */
const builtIn: Readonly<Record<string, () => Promise<BackendPlugin>>> = {
  ort: async () => (await import('@moco-ts/backend-ort')).ortPlugin,
  tfjs: async () => (await import('@moco-ts/backend-tfjs')).tfjsPlugin,
  webgpu: async () => (await import('@moco-ts/backend-webgpu')).webgpuPlugin,
  xla: async () => (await import('@moco-ts/backend-xla')).xlaPlugin,
  reference: async () => (await import('./reference.ts')).referencePlugin,
};

let registered: Promise<void> | undefined;

/** Registers everything that comes with the command; further calls do nothing. */
export function registerPlugins(): Promise<void> {
  registered ??= (async () => {
    const { registerEncoders } = await import('@moco-ts/encoders');
    registerEncoders();
    for (const [name, load] of Object.entries(builtIn)) registerBackend(name, load);
    for (const sink of [tensorboardSink, mlflowSink]) registerLogSink(sink);
  })();
  return registered;
}

/** The devices of the backends that come with the command and of those of plugins. */
export async function knownDevices(): Promise<readonly BackendDevice[]> {
  await registerPlugins();
  return backendDevices();
}

/** Where each backend of a plugin came from. */
const origins = new Map<string, string>();

/**
 * The plugins that another process has to load for a device of a backend: none for those that come with the command.
 * @returns undefined for one that is in this process alone
 */
export function originOf(device: string): readonly string[] | undefined {
  const name = device.split(':')[0]!;
  const plugin = origins.get(name);
  if (plugin !== undefined) return [plugin];
  return Object.hasOwn(builtIn, name) ? [] : undefined;
}

/**
 * Loads plugins that the user named: packages, as the current folder sees them, or files or folders. Every method, encoder,
 * backend and log sink that they export is known by its name from then on. A checkpoint never loads one: it would run its
 * author's code.
 * @throws UserError for what is missing, fails, or exports none of the four
 */
export async function loadPlugins(names: readonly string[]): Promise<void> {
  await registerPlugins();
  for (const name of names) {
    const module = await importPlugin(name);
    const objects = Object.values(module).filter((value) => typeof value === 'object' && value !== null);
    const [methods, encoders] = [objects.filter(isMethod), objects.filter(isEncoder)];
    const backends = objects.filter(isBackend).filter((value) => !isMethod(value));
    const sinks = objects.filter(isLogSink);
    if (methods.length + encoders.length + backends.length + sinks.length === 0)
      throw new UserError(
        say`${settingRef('plugin', name)} exports no method (defineMethod), no encoder (defineEncoder), no backend (defineBackend) and no log sink (defineLogSink)`,
        { code: 'plugin-invalid' },
      );
    for (const backend of backends) {
      registerBackend(backend.name, async () => backend);
      origins.set(backend.name, name);
    }
    for (const encoder of encoders) registerEncoder(encoder);
    for (const method of methods) registerMethod(method);
    for (const sink of sinks) registerLogSink(sink);
  }
}

async function importPlugin(name: string): Promise<Record<string, unknown>> {
  const path = /^[./]|^[A-Za-z]:[\\/]/.test(name) ? resolve(name) : undefined;
  try {
    const target =
      path === undefined ? createRequire(join(process.cwd(), 'package.json')).resolve(name) : entryOf(path);
    return (await import(pathToFileURL(target).href)) as Record<string, unknown>;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    const hint = path === undefined ? `npm install ${name}, or ./ before a file's name` : 'check the path';
    throw new UserError(say`${settingRef('plugin', name)} could not be loaded: ${reason}; ${hint}`, {
      code: 'plugin-invalid',
      cause: error,
    });
  }
}

/** The file that a path means: of a package's folder what the package exports. */
function entryOf(path: string): string {
  const manifest = join(path, 'package.json');
  if (!existsSync(manifest)) return path;
  const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly name: string };
  // A package may resolve itself by its name.
  return createRequire(manifest).resolve(name);
}

const isMethod = (value: unknown): value is MethodPlugin =>
  ['defaults', 'views', 'create', 'head'].every(
    (part) => typeof (value as Record<string, unknown>)[part] === 'function',
  );

const isBackend = (value: unknown): value is BackendPlugin =>
  typeof (value as BackendPlugin).create === 'function' && typeof (value as BackendPlugin).name === 'string';

const isEncoder = (value: unknown): value is Encoder =>
  typeof (value as Encoder).forward === 'function' && typeof (value as Encoder).name === 'string';

const isLogSink = (value: unknown): value is LogSinkPlugin =>
  typeof (value as LogSinkPlugin).open === 'function' && typeof (value as LogSinkPlugin).name === 'string';

/**
 * A backend by its own name, so that `auto` is none: see open-backend.ts.
 * @throws BackendError when there is none of the name, or what it needs is not installed or fails to load
 */
export async function openNamedBackend(name: string, options: BackendOptions = {}): Promise<Backend> {
  await registerPlugins();
  try {
    return await createBackend(name, options);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new BackendError(
      `the backend ${name} lacks a package: ${(error as Error).message.split('\n')[0]}`,
      {
        code: 'backend-unavailable',
        setting: 'backend',
        value: name,
        cause: error,
      },
    );
  }
}

/** Threads for images: what is left beside one for the step, 8 at most. @param cores default all */
export function defaultWorkers(cores = availableParallelism()): number {
  return Math.max(1, Math.min(8, cores - 1));
}
