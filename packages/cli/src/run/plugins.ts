/** What the command knows by name: encoders and backends. */
import { availableParallelism } from 'node:os';
import {
  type Backend,
  BackendError,
  type BackendOptions,
  createBackend,
  registerBackend,
} from '@moco-ts/core';

let registered: Promise<void> | undefined;

/** Registers everything that comes with the command; further calls do nothing. */
export function registerPlugins(): Promise<void> {
  registered ??= (async () => {
    const { registerEncoders } = await import('@moco-ts/encoders');
    registerEncoders();
    registerBackend('ort', async () => (await import('@moco-ts/backend-ort')).ortPlugin);
    registerBackend('tfjs', async () => (await import('@moco-ts/backend-tfjs')).tfjsPlugin);
    registerBackend('webgpu', async () => (await import('@moco-ts/backend-webgpu')).webgpuPlugin);
    registerBackend('reference', async () => (await import('./reference.ts')).referencePlugin);
  })();
  return registered;
}

/**
 * @param name `auto`: the quickest that is usable here
 * @throws BackendError when there is none of the name, or what it needs is not installed or fails to load
 */
export async function openBackend(name: string, options: BackendOptions = {}): Promise<Backend> {
  if (name !== 'auto') return openNamedBackend(name, options);
  const { chooseBackend } = await import('./backends.ts');
  return openNamedBackend((await chooseBackend()).name, options);
}

/** The same without `auto`. */
export async function openNamedBackend(name: string, options: BackendOptions = {}): Promise<Backend> {
  await registerPlugins();
  try {
    return await createBackend(name, options);
  } catch (error) {
    const code = (error as { readonly code?: unknown }).code;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    throw new BackendError(`the backend ${name} lacks a package: ${(error as Error).message.split('\n')[0]}`);
  }
}

/** Threads for pictures: what is left beside one for the step, 8 at most. */
export function defaultWorkers(): number {
  return Math.max(1, Math.min(8, availableParallelism() - 1));
}
