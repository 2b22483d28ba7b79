/** What the worker tells of trainings that fail, or that others take the place of. The work itself is played. */
import type * as core from '@moco-ts/core';
import { beforeEach, expect, it, vi } from 'vitest';
import type { Settings } from '../fields.ts';
import type { FromTrainer, ToTrainer } from '../messages.ts';
import { LIMITS } from './trial.ts';

const given = {
  ...{ backend: 'auto', arch: 'auto', epochs: '1', lr: '0.1', seed: '0' },
  ...{ batchSize: '16', mocoK: '16' },
};

/** A step whose end the test decides. */
interface Step {
  readonly session: number;
  end(error?: Error): void;
}

/** As the worker of the test sees them. */
let errors: Pick<typeof core, 'BackendError' | 'SettingError' | 'say' | 'settingRef' | 'UserError'>;
let messages: FromTrainer[];
let steps: Step[];
let waiting: (() => void)[];
let send: (message: ToTrainer) => void;
let backends: string[];
let sessions: number;

const changed = () => {
  for (const wake of waiting.splice(0)) wake();
};
/** Waits until something has happened. */
async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const seen = look();
    if (seen !== undefined) return seen;
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
}
const has = (type: FromTrainer['type'], count = 1) =>
  until(() => (messages.filter((message) => message.type === type).length >= count ? true : undefined));
const stepOf = (session: number, at = 0) => until(() => steps.filter((step) => step.session === session)[at]);

vi.mock('./images.ts', () => ({
  openImages: async (source: { name: string }) => {
    if (source.name === 'none') throw new errors.UserError('none holds no images');
    return { name: source.name, images: new Array(20), sheet: { images: [] }, skipped: [], left: 0 };
  },
}));
vi.mock('./backend.ts', () => {
  const wasm = { backend: { name: 'tfjs' }, name: 'WebAssembly' };
  return {
    openBackend: async () =>
      backends[0] === 'webgpu' ? { backend: { name: 'webgpu' }, name: 'WebGPU' } : wasm,
    fallBack: async (_: string, reason: string) => ({ ...wasm, note: reason }),
  };
});
vi.mock('./session.ts', () => ({
  createTabSession: async (
    _: unknown,
    { batchSize, mocoK }: Settings,
    arch: string,
    backend: { name: string },
  ) => {
    const session = ++sessions;
    backends.push(backend.name);
    let booked: Promise<unknown> = Promise.resolve();
    let begun = 0;
    let broken = false;
    return {
      ...{ config: { arch, batchSize, mocoK, imageSize: 1, mean: [0, 0, 0], std: [1, 1, 1] } },
      ...{ steps: 9, chance: 1, most: 0 },
      get begun() {
        return begun;
      },
      get broken() {
        return broken;
      },
      step: async () => {
        begun++;
        const result = new Promise((resolve, reject) => {
          steps.push({
            session,
            end: (error) => {
              broken = error !== undefined;
              if (error) reject(error);
              else resolve({ loss: 1, measured: 1, milliseconds: 1 });
            },
          });
        });
        booked = result.catch(() => undefined);
        changed();
        const view = new Float32Array(3);
        return { step: begun, batch: { indices: [0], views: [view, view] }, result };
      },
      features: async () => ({ dim: 1, data: new Float32Array(1) }),
      dispose: async () => {
        await booked;
      },
    };
  },
}));

beforeEach(async () => {
  [messages, steps, waiting, backends, sessions] = [[], [], [], [], 0];
  vi.resetModules();
  vi.stubGlobal('postMessage', (message: FromTrainer) => {
    messages.push(message);
    changed();
  });
  vi.stubGlobal('addEventListener', (_: string, listen: (event: { data: ToTrainer }) => void) => {
    send = (data) => listen({ data });
  });
  errors = await import('@moco-ts/core');
  await import('./trainer.ts');
  await open('photos');
});

const open = async (name: string) => {
  const before = messages.length;
  send({ type: 'open', source: { kind: 'folder', name, files: [], seed: 0 } });
  await until(() => messages.slice(before).find(({ type }) => type === 'opened' || type === 'failed'));
};
const failures = () => messages.filter((message) => message.type === 'failed');

it('tells nothing of a step that fails after another training was asked for', async () => {
  send({ type: 'start', given });
  const old = await stepOf(1);
  send({ type: 'start', given });
  old.end(new errors.UserError('The loss is NaN'));
  await has('started', 2);
  (await stepOf(2)).end();
  await has('step');
  // The new one goes on.
  await stepOf(2, 1);
  expect(failures()).toEqual([]);
  expect(messages.filter(({ type }) => type === 'step')).toHaveLength(1);
});

it('tells of a step that fails after a pause', async () => {
  send({ type: 'start', given });
  const step = await stepOf(1);
  send({ type: 'pause' });
  step.end(new errors.UserError('The loss is NaN'));
  await has('failed');
  expect(failures()).toEqual([{ type: 'failed', message: 'The loss is NaN', over: true }]);
});

it('tells of a device that is lost by what it is, whatever is said of it', async () => {
  send({ type: 'start', given });
  (await stepOf(1)).end(new errors.BackendError('gone', { code: 'device-lost' }));
  await has('failed');
  const message = 'The GPU was lost, and the training with it: reload the page to start again.';
  expect(failures()).toEqual([{ type: 'failed', message, over: true }]);
});

it('names settings as its form does', async () => {
  send({ type: 'start', given });
  const text = errors.say`a batch of 24: change ${errors.settingRef('batchSize')} or ${errors.settingRef('mocoK', 16)}`;
  (await stepOf(1)).end(new errors.SettingError(text));
  await has('failed');
  const message = 'a batch of 24: change "Batch" or "Keys in the queue (K)" 16';
  expect(failures()).toEqual([{ type: 'failed', message, over: true }]);
});

it('keeps a training when a folder is refused', async () => {
  send({ type: 'start', given });
  const step = await stepOf(1);
  send({ type: 'open', source: { kind: 'folder', name: 'none', files: [], seed: 0 } });
  await has('failed');
  expect(failures()).toEqual([{ type: 'failed', message: 'none holds no images', over: false }]);
  step.end();
  await has('step');
  send({ type: 'go-on' });
  await stepOf(1, 1);
});

it('leaves WebGPU where a step does not end', async () => {
  vi.useFakeTimers();
  backends.push('webgpu');
  send({ type: 'start', given });
  await has('compiling');
  await stepOf(1);
  await vi.advanceTimersByTimeAsync(LIMITS[0]);
  vi.useRealTimers();
  await has('started');
  expect(messages.find(({ type }) => type === 'started')).toMatchObject({
    backend: 'WebAssembly',
    arch: 'resnet-micro',
    note: 'a step on WebGPU takes more than 60 seconds here',
  });
  expect(backends.slice(1)).toEqual(['webgpu', 'tfjs']);
});

it('leaves WebGPU where a step fails, and tries it once where it works', async () => {
  backends.push('webgpu');
  send({ type: 'start', given });
  (await stepOf(1)).end(new errors.BackendError('no buffer is large enough'));
  await has('started');
  expect(messages.find(({ type }) => type === 'started')).toMatchObject({
    backend: 'WebAssembly',
    note: 'WebGPU failed (no buffer is large enough)',
  });
  const onWasm = await stepOf(2);
  // Another encoder is another matter.
  const tiny = { ...given, arch: 'resnet-tiny' };
  send({ type: 'start', given: tiny });
  onWasm.end();
  (await stepOf(3)).end();
  (await stepOf(3, 1)).end();
  await has('started', 2);
  expect(messages.filter(({ type }) => type === 'started')[1]).toMatchObject({
    backend: 'WebGPU',
    arch: 'resnet-tiny',
  });
  const onGpu = await stepOf(4);
  send({ type: 'start', given: tiny });
  onGpu.end();
  await has('started', 3);
  expect(messages.filter(({ type }) => type === 'compiling')).toHaveLength(2);
});

it('says when a set is too small, and what it shrinks', async () => {
  send({ type: 'start', given: { ...given, batchSize: '64', mocoK: '512' } });
  await has('started');
  expect(messages.find(({ type }) => type === 'started')).toMatchObject({
    ...{ batchSize: 16, queue: 16, note: 'For 20 images the batch is 16, the queue 16 keys.' },
  });
});
