import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Backend,
  type BackendOptions,
  decodeSafetensors,
  type ErrorCode,
  mean,
  nn,
  type Params,
  relu,
} from '@moco-ts/core';
import { openBackend } from '@moco-ts/node';
import { describe, expect, it } from 'vitest';
import {
  differences,
  imageFolder,
  logged,
  moco,
  temporaryFolder,
  tiny as tinyFlags,
} from '../../cli/src/testing.ts';
import {
  DataError,
  decodeFile,
  defineEncoder,
  loadEncoder,
  type OwnDataset,
  pretrain,
  SettingError,
  type Step,
  UserError,
} from './index.ts';
import { tiny } from './testing.ts';

const images = imageFolder(20);
/** 20 images in batches of 8: two steps an epoch. */
const options = { ...tiny, data: images, epochs: 3, seed: 4 };
const folder = () => join(temporaryFolder(), 'run');

async function stepsOf(run: AsyncIterable<Step>): Promise<Step[]> {
  const steps: Step[] = [];
  for await (const step of run) steps.push(step);
  return steps;
}

const finished = folder();
const wholeRun = pretrain({ ...options, out: finished }).result;

it('trains as the command does, to the bit', async () => {
  const out = folder();
  const flags = [...tinyFlags, '--epochs', '3', '--seed', '4', '--out', out];
  expect(await moco('pretrain', images, ...flags)).toMatchObject({ code: 0, err: '' });
  const run = pretrain({ ...options, out: folder() });
  const steps = await stepsOf(run);
  const result = await run.result;
  expect(result).toMatchObject({ outcome: 'done', skipped: 0, config: { mocoT: 0.2, cos: true } });
  expect(differences(result.checkpoint, join(out, 'checkpoint-0003.safetensors'))).toEqual([]);
  const fields = ['epoch', 'step', 'globalStep', 'loss', 'acc1', 'acc5', 'featureStd', 'lr'] as const;
  const picked = (from: object) =>
    Object.fromEntries(fields.map((name) => [name, (from as Record<string, unknown>)[name]]));
  expect(steps.map(picked)).toEqual(logged(out, 'step').map(picked));
  expect(steps).toHaveLength(6);
});

it('trains whether or not its steps are looked at', async () => {
  const run = pretrain({ ...options, out: folder() });
  await stepsOf(run);
  expect(differences((await run.result).checkpoint, (await wholeRun).checkpoint)).toEqual([]);
});

it('goes on with activations kept where they were computed again', async () => {
  const out = folder();
  const first = await pretrain({ ...options, out, maxSteps: 3, checkpointActivations: true }).result;
  expect(first.config.checkpointActivations).toBe(true);
  const second = await pretrain({ resume: out, checkpointActivations: false }).result;
  expect(second.config.checkpointActivations).toBe(false);
  await wholeRun;
  const [losses, expected] = [out, finished].map((run) =>
    logged(run, 'step').map(({ loss }) => loss as number),
  );
  expect(losses).toHaveLength(6);
  // Rounding may differ where a backend normalises again in another way.
  losses!.forEach((loss, i) => {
    expect(loss).toBeCloseTo(expected![i]!, 4);
  });
});

it('gives its folder back where the backend fails to close', async () => {
  const out = folder();
  const backend = {
    name: 'closing-fails',
    create: async (given: BackendOptions): Promise<Backend> => {
      const inner = await openBackend('ort', given);
      return {
        name: 'closing-fails',
        device: inner.device,
        capabilities: () => inner.capabilities(),
        compile: (...args) => inner.compile(...args),
        dispose: async () => {
          await inner.dispose();
          throw new UserError('the device is lost');
        },
      };
    },
  };
  const failed = pretrain({ ...options, out, backend }).result;
  await expect(failed).rejects.toThrow('the device is lost');
  expect(readdirSync(out)).not.toContain('run.lock');
});

describe('a run that is stopped', () => {
  const goOn = async (out: string) => {
    const { checkpoint, outcome } = await pretrain({ resume: out }).result;
    expect(outcome).toBe('done');
    expect(differences(checkpoint, (await wholeRun).checkpoint)).toEqual([]);
  };

  it('by a signal saves, and goes on as if nothing had been', async () => {
    const abort = new AbortController();
    const out = folder();
    const run = pretrain({ ...options, out, signal: abort.signal });
    const seen: number[] = [];
    for await (const { globalStep } of run) {
      seen.push(globalStep);
      if (globalStep === 2) abort.abort();
    }
    expect(seen).toEqual([0, 1, 2]);
    expect(await run.result).toMatchObject({
      outcome: 'stopped',
      checkpoint: join(out, 'checkpoint-0001-00001.safetensors'),
    });
    await goOn(out);
  });

  it('by leaving the loop, too', async () => {
    const out = folder();
    for await (const { globalStep } of pretrain({ ...options, out })) if (globalStep === 0) break;
    expect(readdirSync(out)).toContain('checkpoint-0000-00001.safetensors');
    await goOn(out);
  });

  it('by an error in the loop, which is thrown on', async () => {
    const out = folder();
    const run = pretrain({ ...options, out });
    const looped = async () => {
      for await (const _ of run) throw new Error('of the caller');
    };
    await expect(looped()).rejects.toThrow('of the caller');
    expect(await run.result).toMatchObject({ outcome: 'stopped' });
  });

  it('by a signal while nobody takes steps', async () => {
    const abort = new AbortController();
    const run = pretrain({ ...options, out: folder(), signal: abort.signal });
    const steps = run[Symbol.asyncIterator]();
    await steps.next();
    // The run waits for the next call, which never comes.
    abort.abort();
    expect(await run.result).toMatchObject({ outcome: 'stopped' });
  });

  it('before it began takes no step', async () => {
    const run = pretrain({ ...options, out: folder(), signal: AbortSignal.abort() });
    expect(await stepsOf(run)).toEqual([]);
    expect(await run.result).toMatchObject({ outcome: 'stopped' });
  });
});

describe('a data set of its own', () => {
  const files = readdirSync(images).sort();
  const own: OwnDataset = {
    name: 'mine',
    length: files.length,
    decode: (index) => decodeFile(join(images, files[index]!)),
    id: (index) => files[index]!,
  };

  it.each([0, 1])('gives the same run as the folder of its images, with %i workers', async (workers) => {
    const run = pretrain({ ...options, data: own, workers, out: folder() });
    const { checkpoint, config } = await run.result;
    expect(config.data).toBe('object:mine');
    expect(differences(checkpoint, (await wholeRun).checkpoint)).toEqual([]);
  });

  it('gives the run folder its name', async () => {
    const before = process.cwd();
    process.chdir(temporaryFolder());
    try {
      const result = await pretrain({ ...options, data: own, maxSteps: 1 }).result;
      expect(result.folder).toBe(join('runs', 'mine-moco-v2-resnet-tiny'));
    } finally {
      process.chdir(before);
    }
  });

  it('is resumed with the set, and not without', async () => {
    const out = folder();
    await pretrain({ ...options, data: own, out, maxSteps: 3 }).result;
    await expect(pretrain({ resume: out }).result).rejects.toThrow('mine was a data set object of a program');
    const { checkpoint } = await pretrain({ resume: out, data: own, maxSteps: 6 }).result;
    expect(differences(checkpoint, (await wholeRun).checkpoint)).toEqual([]);
  });

  it('may have damaged images, which are told of', async () => {
    const flawed: OwnDataset = {
      ...own,
      decode: (index) => {
        if (index === 3) throw new DataError('image 3 is torn');
        return own.decode(index);
      },
    };
    const warnings: string[] = [];
    const run = pretrain({
      ...options,
      data: flawed,
      out: folder(),
      onWarning: (text) => warnings.push(text),
    });
    expect(await run.result).toMatchObject({ skipped: 1 });
    expect(warnings).toEqual(['left out: image 3 is torn']);
  });

  it('is measured on test images of its own', async () => {
    const labelled: OwnDataset = { ...own, classes: ['even', 'odd'], label: (index) => index % 2 };
    const base = { ...options, epochs: 1, knnEvery: 1, data: labelled };
    // Without, a part is held out of its own images.
    const warned: string[] = [];
    const divided = pretrain({ ...base, out: folder(), onWarning: (text) => warned.push(text) });
    expect((await divided.result).measures?.knn).toBeGreaterThanOrEqual(0);
    expect(warned).toEqual([
      expect.stringMatching(/^mine: no testData: \d+ of \d+ images are held out .* by a fixed rule$/),
    ]);
    const warnings: unknown[] = [];
    const run = pretrain({
      ...base,
      testData: labelled,
      out: folder(),
      onEvaluation: (event) => warnings.push(event),
    });
    const { measures } = await run.result;
    expect(measures?.knn).toBeGreaterThanOrEqual(0);
    expect(warnings).toEqual([{ epoch: 1, ...measures }]);
  });
});

describe('bad options', () => {
  const table: [string, object, ErrorCode, string | undefined, string][] = [
    ['an unknown name', { batchsize: 8 }, 'setting-unknown', 'batchsize', 'it is called batchSize'],
    ['a flag', { 'moco-k': 8 }, 'setting-unknown', 'moco-k', 'there is no option moco-k; it is called mocoK'],
    [
      'no whole number',
      { batchSize: 2.5 },
      'setting-invalid',
      'batchSize',
      'batchSize: 2.5 is not right. Give a whole number from 1 to 65536.',
    ],
    [
      'a text for a number',
      { mocoK: '16' },
      'setting-invalid',
      'mocoK',
      'mocoK: "16" is not right. Give a number.',
    ],
    [
      'a share above 1',
      { mocoM: 1.5 },
      'setting-invalid',
      'mocoM',
      'mocoM: 1.5 is not right. Give a number from 0 to 1.',
    ],
    [
      'no number',
      { lr: Number.NaN },
      'setting-invalid',
      'lr',
      'lr: NaN is not right. Give a number above 0.',
    ],
    [
      'an unknown choice',
      { bn: 'none' },
      'setting-invalid',
      'bn',
      'bn: "none" is not right. Choose from shuffle, split, sync, plain.',
    ],
    [
      'a text for a switch',
      { mlp: 'yes' },
      'setting-invalid',
      'mlp',
      'mlp: "yes" is not right. Give true or false.',
    ],
    [
      'one for many',
      { schedule: 120 },
      'setting-invalid',
      'schedule',
      'schedule: 120 is not right. Give an array.',
    ],
    [
      'two channels',
      { mean: [0, 0] },
      'setting-invalid',
      'mean',
      'mean: [0,0] is not right. Give three numbers, for R, G and B.',
    ],
    ['no arch', { arch: 'resnet19' }, 'setting-invalid', 'arch', 'there is no arch "resnet19"'],
    [
      'no encoder',
      { arch: {} },
      'setting-invalid',
      'arch',
      'arch: give the name of an encoder, or what defineEncoder returns',
    ],
    [
      'no backend',
      { backend: {} },
      'setting-invalid',
      'backend',
      'backend: give the name of a backend, or what defineBackend returns',
    ],
    ['an unknown backend', { backend: 'cray' }, 'backend-unknown', 'backend', 'there is no backend "cray"'],
    [
      'no signal',
      { signal: {} },
      'setting-invalid',
      'signal',
      'signal: give the signal of an AbortController.',
    ],
    ['no data', { data: undefined }, 'setting-missing', 'data', 'pretrain needs data: an image folder'],
    ['no folder', { data: './nowhere' }, 'file-missing', 'data', './nowhere: no such folder'],
    ['a batch too large', { batchSize: 100 }, 'setting-invalid', 'batchSize', 'batchSize 100 is larger than'],
    [
      'a queue that does not fit',
      { mocoK: 12 },
      'setting-invalid',
      'mocoK',
      'mocoK 12 is no multiple of the 8 keys of a step',
    ],
    [
      'what the method has no use for',
      { method: 'simclr' },
      'setting-conflict',
      'mocoK',
      'mocoK means nothing to simclr',
    ],
    [
      'preset and resume',
      { preset: 'emoji', resume: 'x' },
      'setting-conflict',
      'preset',
      'preset and resume exclude each other',
    ],
    [
      'a run to resume',
      { resume: './nowhere' },
      'file-missing',
      undefined,
      './nowhere: no such checkpoint or run folder',
    ],
    [
      'a folder that is taken',
      { out: finished },
      'file-taken',
      'out',
      `go on with resume ${finished}, or choose another out`,
    ],
  ];
  it.each(table)('%s: one clear line', async (_, change, code, setting, message) => {
    await wholeRun;
    const run = pretrain({ ...options, out: folder(), ...change } as never);
    const error: unknown = await run.result.catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UserError);
    expect(error).toMatchObject({ code, ...(setting !== undefined && { setting }) });
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toMatch(/\n|--/);
    // The loop throws the same.
    await expect(stepsOf(run)).rejects.toBe(error);
  });
  it('tell programs the value', async () => {
    const run = pretrain({ ...options, out: folder(), mocoK: 12 });
    const error = await run.result.catch((error: unknown) => error as SettingError);
    expect(error).toBeInstanceOf(SettingError);
    expect(error).toMatchObject({ setting: 'mocoK', value: 12 });
    const none = await pretrain({ data: './nowhere' }).result.catch((error: unknown) => error);
    expect(none).toBeInstanceOf(DataError);
    expect(none).toMatchObject({ setting: 'data', value: './nowhere' });
  });
});

describe('encoders of one name', () => {
  /** [N, 3, S, S] to [N, 3 width]: a width tells which one a run has. */
  const encoderOf = (width: number) =>
    defineEncoder({
      name: 'twin',
      inputShape: ({ imageSize }) => [3, imageSize, imageSize],
      featureDim: () => width,
      init: (_, random) => {
        const params: Params = {};
        nn.initConv(params, 'conv1', [width, 3, 1, 1], random);
        return params;
      },
      forward: (_, params, x) => mean(relu(nn.conv(params, 'conv1', x)), [2, 3]),
    });

  it("are each its own run's, step by step and in evaluation", async () => {
    const [a, b] = [5, 7].map((width) => {
      const out = folder();
      const evaluations: number[] = [];
      const more = { arch: encoderOf(width), epochs: 2, knnEvery: 1, saveEverySteps: 1, out };
      const run = pretrain({ ...options, ...more, onEvaluation: ({ epoch }) => evaluations.push(epoch) });
      return { width, out, run, evaluations, steps: run[Symbol.asyncIterator]() };
    });
    // In turn, from the first step to the end of both.
    for (let going = true; going; ) {
      const taken = await Promise.all([a!.steps.next(), b!.steps.next()]);
      going = taken.some(({ done }) => !done);
    }
    for (const { width, run, evaluations } of [a!, b!]) {
      const { checkpoint } = await run.result;
      const { tensors } = decodeSafetensors(readFileSync(checkpoint), checkpoint);
      expect(tensors['q.conv1.weight']!.shape).toEqual([width, 3, 1, 1]);
      expect(evaluations).toEqual([1, 2]);
    }
    const loaded = await Promise.all(
      [a!, b!].map(({ out, width }) => loadEncoder(out, { arch: encoderOf(width) })),
    );
    expect(loaded.map(({ featureDim }) => featureDim)).toEqual([5, 7]);
    for (const encoder of loaded) await encoder.dispose();
  });
});
