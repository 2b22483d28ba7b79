/** Backends as a run names them: its own object, a name, or `auto`. */
import type { Backend, BackendOptions, BackendPlugin } from '@moco-ts/core';
import { chooseBackend } from './backends.ts';
import { openNamedBackend } from './plugins.ts';

/**
 * @param name of a backend, or a backend; `auto`: the fastest that is usable here
 * @throws BackendError when there is none of the name, or what it needs is not installed or fails to load
 */
export async function openBackend(
  name: string | BackendPlugin,
  options: BackendOptions = {},
): Promise<Backend> {
  if (typeof name !== 'string') return name.create(options);
  if (name !== 'auto') return openNamedBackend(name, options);
  return openNamedBackend((await chooseBackend()).name, options);
}
