import { defineDataset } from '@moco-ts/data';
import type { RunFlags } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { registerPlugins } from '../plugins.ts';
import type { Planned, TrainHost } from './host.ts';
import { planNew } from './plan.ts';

const own = (length: number, isLabelled = false) =>
  defineDataset({
    ...{ name: 'own', length, ...(isLabelled && { classes: ['a', 'b'], label: (i: number) => i % 2 }) },
    decode: (index: number) => ({
      ...{ width: 8, height: 8 },
      data: Uint8Array.from({ length: 192 }, (_, at) => (at * (index + 3)) % 251),
    }),
  });

async function plan(given: RunFlags, dataset = own(40)): Promise<Planned> {
  await registerPlugins();
  const silent = () => undefined;
  let now = 0;
  const host: TrainHost = {
    ...{ note: silent, warn: silent, phase: silent, stop: { requested: false } },
    clock: () => {
      now += 100;
      return now;
    },
    planned: () => ({ step: silent, epoch: silent, note: silent, warn: silent, close: silent }),
  };
  const usual = {
    data: 'object:own',
    arch: 'resnet-micro',
    imageSize: 16,
    workers: 0,
    threads: 1,
    backend: 'ort',
  };
  const flags = { ...usual, ...given };
  return (await planNew({ flags, out: 'never-written', dataset }, host))!;
}

const line = ({ recipe }: Planned, name: string) => recipe.find(({ what }) => what === name)?.value;

describe('the length of a run', () => {
  it('is that of its epochs where they end before its time', async () => {
    // 32 of 40 images are a batch, and an epoch.
    const planned = await plan({ time: 1_000_000, epochs: 50 });
    expect([line(planned, 'estimate'), planned.config.saveEvery]).toEqual(['50 steps', 2]);
  });

  it('is that of its steps, by which checkpoints are saved too', async () => {
    const planned = await plan({ maxSteps: 50 });
    // A checkpoint in 25 of them: by the 200 epochs of a run that nothing ends it would be every eighth.
    expect([line(planned, 'estimate'), planned.config.saveEvery]).toEqual(['50 steps', 2]);
  });

  it('is that of the run that it repeats', async () => {
    const planned = await plan({ progressFrom: 'other/log.jsonl' });
    expect([line(planned, 'time'), line(planned, 'estimate')]).toEqual([
      ...['as long as the run that it repeats', undefined],
    ]);
    expect(planned.config).toMatchObject({ progressFrom: 'other/log.jsonl', openEnded: true });
    expect(planned.config.time).toBeUndefined();
  });
});

describe('what a run measures on', () => {
  it('is held out of few images too where it chooses the checkpoint, and a batch is no larger than the rest', async () => {
    const { config, dataset } = await plan({ epochs: 2, select: 'retrieval' }, own(32));
    expect(config.holdOut).toBe(0.2);
    expect(dataset.length).toBeLessThan(32);
    expect(config.batchSize).toBe(16);
  });

  it('is not the bank of kNN where labelled images are few', async () => {
    const { baselines } = await plan({ epochs: 2, measureEvery: 1 }, own(40, true));
    expect([baselines.sets.train.length, baselines.sets.test]).toEqual([40, undefined]);
  });

  it('is nothing where it asks for no evaluation, and no checkpoint is chosen', async () => {
    const { config, timing } = await plan({ epochs: 2, measureEvery: 0 }, own(150));
    expect([config.select, config.measureEvery]).toEqual(['none', 0]);
    expect(timing.following).toEqual({ evaluation: 0 });
  });
});

it('keeps time free for each measure behind the training once', async () => {
  const { timing, baselines } = await plan({ time: 1000 }, own(150));
  const { measure, export: exporting } = baselines.seconds;
  // With a margin of a quarter.
  expect(timing.reserve).toBeCloseTo(1.25 * (measure + exporting), 9);
  expect(timing.following!.evaluation).toBeCloseTo(1.25 * measure, 9);
});
