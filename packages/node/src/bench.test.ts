import { ortPlugin } from '@moco-ts/backend-ort';
import { defineBackend, registerBackend, type StateSlot } from '@moco-ts/core';
import { resolveConfig } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { stepText, timeSteps } from './bench.ts';
import { registerPlugins } from './plugins.ts';

let slots: readonly StateSlot[] = [];
const fed: string[][] = [];
const loaded: string[][] = [];

registerBackend('counting', async () =>
  defineBackend({
    name: 'counting',
    create: async (options) => {
      const backend = await ortPlugin.create(options);
      return {
        ...backend,
        memory: () => ({ inUse: 1, peak: 123 }),
        compile: async (graph, { state = [] } = {}) => {
          slots = state;
          const program = await backend.compile(graph, { state });
          return {
            memory: program.memory,
            read: (names) => program.read(names),
            dispose: () => program.dispose(),
            load: (values) => {
              loaded.push(Object.keys(values));
              return program.load(values);
            },
            run: (feeds) => {
              fed.push(Object.keys(feeds));
              return program.run(feeds);
            },
          };
        },
      };
    },
  }),
);

it('steps are timed with images on the device and with images that are given to each, and the peak is told', async () => {
  await registerPlugins();
  const small = { arch: 'resnet-micro', imageSize: 16, batchSize: 8, mocoK: 16, bn: 'plain' } as const;
  const config = resolveConfig(
    { ...small, data: 'noise', method: 'moco-v2', threads: 1 },
    { source: { data: 'noise', split: 'train' } },
  );
  let ready = false;
  const timed = await timeSteps(config, 'counting', 2, {
    warmUp: 1,
    held: true,
    ready: async () => {
      ready = slots.length === 0;
    },
  });
  expect(ready).toBe(true);
  expect(timed.peakBytes).toBe(123);
  expect([timed.secondsPerStep, timed.secondsPerHeldStep].map((steps) => steps?.length)).toEqual([2, 2]);
  expect(slots.filter(({ output }) => output === undefined).map(({ input }) => input)).toEqual(['xq', 'xk']);
  expect(fed).toHaveLength(6);
  expect(fed.flat()).not.toContain('xq');
  expect(loaded.slice(1)).toEqual([
    ['xq', 'xk'],
    ['xq', 'xk'],
  ]);
});

it('a step is timed, and written out, in its precision', async () => {
  await registerPlugins();
  const config = (precision: 'fp32' | 'tf32' | 'bf16') =>
    resolveConfig(
      { arch: 'resnet-micro', imageSize: 16, batchSize: 8, data: 'noise', method: 'simclr', precision },
      { source: { data: 'noise', split: 'train' } },
    );
  await expect(timeSteps(config('bf16'), 'counting', 1)).rejects.toThrow('bf16');
  const [full, tf32, bf16] = await Promise.all(
    (['fp32', 'tf32', 'bf16'] as const).map((precision) => stepText(config(precision), 'xla:cpu')),
  );
  expect([full, tf32, bf16].map((text) => text!.includes('xbf16>'))).toEqual([false, false, true]);
  expect([full, tf32].map((text) => text!.includes('precision DEFAULT'))).toEqual([false, true]);
});

it('says that several devices are not timed', async () => {
  const config = resolveConfig(
    { data: 'photos', devices: 'all' },
    { source: { data: 'photos', split: 'train' } },
  );
  await expect(timeSteps(config, 'xla', 1)).rejects.toThrow('bench times one device: leave out devices all');
});
