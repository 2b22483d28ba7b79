/** Backends of plugins among those that `moco backends` lists and `auto` chooses from. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { registerBackend } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import { chooseBackend, probe } from './backends.ts';
import { knownDevices, loadPlugins } from './plugins.ts';

const folder = temporaryFolder();
/** A backend that computes nothing, at once. */
const plugin = (name: string, devices: string, opening = '') => {
  const path = join(folder, `${name}.mjs`);
  writeFileSync(
    path,
    `const program = { load: async () => {}, run: async () => ({}), dispose: async () => {} };
export const backend = {
  name: '${name}',
  devices: () => [${devices}],
  create: async ({ device }) => {
    ${opening}
    return {
      name: device === undefined ? '${name}' : \`${name}:\${device}\`,
      device: 'a plugin, pid ' + process.pid,
      capabilities: () => ({ training: true, inference: true, dtypes: ['float32'], lowering: 'nothing' }),
      compile: async () => program,
      dispose: async () => {},
    };
  },
};
`,
  );
  return path;
};
const deviceNamed = async (name: string) => (await knownDevices()).find((device) => device.name === name)!;

it('a backend of a plugin is listed with its devices, and chosen where it is the quickest that may be', async () => {
  const devices = "{ name: 'quick', speed: 'training' }, { name: 'quick:slow', speed: 'check' }";
  await loadPlugins([plugin('quick', devices)]);
  expect(await deviceNamed('quick:slow')).toEqual({ name: 'quick:slow', speed: 'check' });
  const rivals = await Promise.all(['quick:slow', 'ort', 'quick'].map(deviceNamed));
  expect(await chooseBackend({}, rivals)).toMatchObject({ name: 'quick' });
  expect(await chooseBackend({}, rivals.slice(0, 2))).toMatchObject({ name: 'ort' });
  const rounding = { ...rivals[1]!, precisions: ['fp32', 'bf16'] as const };
  expect(await chooseBackend({ precision: 'bf16' }, [rivals[2]!, rounding])).toMatchObject({ name: 'ort' });
  await expect(chooseBackend({ precision: 'bf16' }, rivals)).rejects.toThrow('computes in bf16');
});

it('the quickest is looked for among layers of the encoder that is trained', async () => {
  const seen =
    'compile: async (graph) => { globalThis.measured = graph.nodes.map(({ op }) => op); return program; }';
  const path = plugin('watched', "{ name: 'watched', speed: 'training' }");
  writeFileSync(path, readFileSync(path, 'utf8').replace('compile: async () => program', seen));
  await loadPlugins([path]);
  const ops = async (family: 'resnet' | 'vit') => {
    await chooseBackend({ family }, [await deviceNamed('watched')]);
    return (globalThis as { measured?: string[] }).measured;
  };
  expect(await ops('resnet')).toEqual(
    expect.arrayContaining(['conv2d', 'conv2dInputGrad', 'conv2dFilterGrad']),
  );
  expect(await ops('vit')).toEqual(expect.arrayContaining(['matmul', 'softmaxMatmul']));
  expect(await ops('vit')).not.toContain('conv2d');
});

it('a backend that declares no devices is one for checks', async () => {
  registerBackend('bare', async () => ({ name: 'bare', create: () => Promise.reject(new Error('no')) }));
  expect(await deviceNamed('bare')).toEqual({ name: 'bare', speed: 'check' });
  registerBackend('broken', () => Promise.reject(new Error('its package is damaged')));
  expect(await probe(await deviceNamed('broken'))).toEqual({
    name: 'broken',
    failure: 'its package is damaged',
  });
});

it('a backend that needs a driver is tried in a process of its own, whatever it writes there', async () => {
  const opening =
    "console.log('{}'); console.error('driver: hello'); process.stdout.write('no end of line');";
  await loadPlugins([plugin('noisy', "{ name: 'noisy', speed: 'check', needs: 'driver' }", opening)]);
  const probed = await probe(await deviceNamed('noisy'));
  expect(probed).toMatchObject({ name: 'noisy', lowering: 'nothing' });
  expect(probed).not.toHaveProperty('device', `a plugin, pid ${process.pid}`);
});

it('a backend whose driver ends the process, or never answers, is not usable', async () => {
  const driver = (name: string) => `{ name: '${name}', speed: 'training', needs: 'driver' }`;
  await loadPlugins([
    plugin(
      'crashing',
      driver('crashing'),
      "process.kill(process.pid, 'SIGABRT'); await new Promise(() => {});",
    ),
    plugin('hanging', driver('hanging'), 'setInterval(() => {}, 1000); await new Promise(() => {});'),
  ]);
  const failure = async (name: string, limit?: number) => probe(await deviceNamed(name), 'resnet', limit);
  expect(await failure('crashing')).toEqual({
    name: 'crashing',
    failure: 'its driver ended the process that tried it (SIGABRT)',
  });
  expect(await failure('hanging', 100)).toEqual({
    name: 'hanging',
    failure: 'its driver gave no answer in 0 s',
  });
});
