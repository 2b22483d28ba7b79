/** Encoders and backends that a program hands over as objects. */

import {
  type BackendPlugin,
  backendNames,
  type Encoder,
  encoderNames,
  registerBackend,
  registerEncoder,
  UserError,
} from '@moco-ts/core';
import { registerPlugins } from '@moco-ts/node';

const adopted = { encoder: new Set<string>(), backend: new Set<string>() };

/**
 * Makes an encoder known by its name, which runs and checkpoints tell it by. The last of a name is found by it; a run that was
 * given another one keeps that.
 * @throws UserError for an object that is no encoder, and for a name that MoCo.ts has given already
 */
export async function adoptEncoder(encoder: Encoder): Promise<string> {
  await registerPlugins();
  const { name, forward } = encoder;
  if (typeof name !== 'string' || typeof forward !== 'function')
    throw new UserError('arch: give the name of an encoder, or what defineEncoder returns');
  take('encoder', name, encoderNames());
  registerEncoder(encoder);
  return name;
}

/** The same for a backend. */
export async function adoptBackend(backend: BackendPlugin): Promise<string> {
  await registerPlugins();
  const { name, create } = backend;
  if (typeof name !== 'string' || typeof create !== 'function')
    throw new UserError('backend: give the name of a backend, or what defineBackend returns');
  take('backend', name, backendNames());
  registerBackend(name, async () => backend);
  return name;
}

function take(kind: keyof typeof adopted, name: string, known: readonly string[]): void {
  if (known.includes(name) && !adopted[kind].has(name))
    throw new UserError(
      `there is ${kind === 'encoder' ? 'an' : 'a'} ${kind} ${name} already: give yours another name`,
    );
  adopted[kind].add(name);
}
