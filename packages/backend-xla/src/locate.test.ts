import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { locatePlugin } from './locate.ts';

const root = mkdtempSync(join(tmpdir(), 'moco-xla-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const file = (...path: string[]) => {
  const at = join(root, ...path);
  mkdirSync(dirname(at), { recursive: true });
  writeFileSync(at, '');
  return at;
};
const plugin = ['lammps_jax_pjrt_cpu', 'pjrt_c_api_cpu_plugin.so'];
const nowhere = { XDG_CACHE_HOME: join(root, 'nowhere') };

describe('a plugin', () => {
  it('lies in the cache, or among the packages of an active Python environment', () => {
    const environment = file('venv', 'lib', 'python3.12', 'site-packages', ...plugin);
    const VIRTUAL_ENV = join(root, 'venv');
    expect(locatePlugin('cpu', { ...nowhere, VIRTUAL_ENV })).toBe(environment);
    // What is being unpacked is no plugin yet.
    file('cache', 'moco', 'xla', 'cpu', '.unpacking-1', ...plugin);
    expect(locatePlugin('cpu', { XDG_CACHE_HOME: join(root, 'cache'), VIRTUAL_ENV })).toBe(environment);
    const cached = file('cache', 'moco', 'xla', 'cpu', '0123', ...plugin);
    expect(locatePlugin('cpu', { XDG_CACHE_HOME: join(root, 'cache'), VIRTUAL_ENV })).toBe(cached);
  });

  it('may be any file', () => {
    const own = file('own.so');
    expect(locatePlugin(own)).toBe(own);
  });

  it.each(['tpu', 'constructor', '__proto__', join(root, 'no.so')])('is not %s', (device) => {
    expect(() => locatePlugin(device, nowhere)).toThrow(`xla has no device "${device}"`);
  });
});
