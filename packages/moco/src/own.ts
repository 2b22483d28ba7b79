/** Methods, encoders and backends that a program hands over as objects. */

import {
  type BackendPlugin,
  backendNames,
  type Encoder,
  encoderNames,
  registerBackend,
  registerEncoder,
  SettingError,
} from '@moco-ts/core';
import { registerPlugins } from '@moco-ts/node';
import { type MethodPlugin, registerMethod } from '@moco-ts/run';

const adopted = { encoder: new Set<string>(), backend: new Set<string>() };

/**
 * Makes an encoder known by its name, which runs and checkpoints tell it by. The last of a name is found by it; a run that was
 * given another one keeps that.
 * @throws SettingError for an object that is no encoder, and for a name that MoCo.ts has given already
 */
export async function adoptEncoder(encoder: Encoder): Promise<string> {
  await registerPlugins();
  const { name, forward } = encoder;
  if (typeof name !== 'string' || typeof forward !== 'function')
    throw new SettingError('arch: give the name of an encoder, or what defineEncoder returns', {
      setting: 'arch',
      value: encoder,
    });
  take('encoder', name, encoderNames());
  registerEncoder(encoder);
  return name;
}

/** The same for a backend. */
export async function adoptBackend(backend: BackendPlugin): Promise<string> {
  await registerPlugins();
  const { name, create } = backend;
  if (typeof name !== 'string' || typeof create !== 'function')
    throw new SettingError('backend: give the name of a backend, or what defineBackend returns', {
      setting: 'backend',
      value: backend,
    });
  take('backend', name, backendNames());
  registerBackend(name, async () => backend);
  return name;
}

/**
 * The same for a method, whose settings are options from then on.
 * @throws UserError for an object that is no method, and for a name, a setting or a flag that there is already
 */
export function adoptMethod(method: MethodPlugin): string {
  const { name, create, defaults } = method;
  if (typeof name !== 'string' || typeof create !== 'function' || typeof defaults !== 'function')
    throw new SettingError('method: give the name of a method, or what defineMethod returns', {
      setting: 'method',
      value: method,
    });
  registerMethod(method);
  return name;
}

function take(kind: keyof typeof adopted, name: string, known: readonly string[]): void {
  if (known.includes(name) && !adopted[kind].has(name))
    throw new SettingError(
      `there is ${kind === 'encoder' ? 'an' : 'a'} ${kind} ${name} already: give yours another name`,
      { code: 'setting-conflict', setting: kind === 'encoder' ? 'arch' : 'backend', value: name },
    );
  adopted[kind].add(name);
}
