import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Wording } from '@moco-ts/core';
import { defineDataset } from '@moco-ts/data';
import { afterAll, expect, it } from 'vitest';
import { lockFolder } from '../lock.ts';
import { autoTrain } from './auto-train.ts';
import type { Planned, TrainHost } from './host.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ownOf = (length: number) =>
  defineDataset({
    ...{ name: 'own', length },
    decode: (index: number) => ({
      ...{ width: 8, height: 8 },
      data: Uint8Array.from({ length: 192 }, (_, at) => (at * (index + 3)) % 251),
    }),
  });
const [dataset, test] = [ownOf(40), ownOf(20)];
const flags = {
  ...{ data: 'object:own', arch: 'resnet-micro', imageSize: 16, workers: 0, threads: 1, backend: 'ort' },
};

/** A clock that goes on by a tick each time somebody looks at it. @param tick milliseconds */
function hostOf(tick: number) {
  let now = 0;
  const planned: Planned[] = [];
  const warnings: string[] = [];
  const silent = () => undefined;
  const host: TrainHost = {
    ...{ note: silent, phase: silent, stop: { requested: false } },
    warn: (text) => void warnings.push(String(text)),
    clock: () => {
      now += tick;
      return now;
    },
    planned: (plan) => {
      planned.push(plan);
      return { step: silent, epoch: silent, note: silent, warn: silent, close: silent };
    },
  };
  return { host, planned, warnings, now: () => now };
}

it.each([
  ['what follows training', {}],
  ['what is measured to choose a checkpoint', { test }],
])('ends on its time, with %s', async (name, given) => {
  const out = join(folder, `timed, ${name}`);
  const { host, planned, now } = hostOf(100);
  const trained = (await autoTrain({ flags: { ...flags, time: 120 }, out, dataset, ...given }, host))!;
  expect(trained.outcome).toBe('done');
  // Within 5 %.
  expect(Math.abs(now() / 1000 - 120)).toBeLessThan(6);
  expect(planned[0]!.recipe.find(({ what }) => what === 'time')!.value).toBe('2m');
  // An epoch is a step here, and no checkpoint.
  const saved = readFileSync(join(out, 'log.jsonl'), 'utf8').match(/"event":"checkpoint"/g)!.length;
  expect(saved).toBeLessThan(60);
  expect(existsSync(trained.model!.path)).toBe(true);
  const { rows } = JSON.parse(readFileSync(join(out, 'train.json'), 'utf8'));
  expect(rows).toEqual(trained.rows);
});

it('refuses a time that is too short with one that works, and writes nothing', async () => {
  const out = join(folder, 'short');
  // Some readings of the clock are in planning alone.
  const { host } = hostOf(5000);
  const run = autoTrain({ flags: { ...flags, time: 10 }, out, dataset }, host);
  await expect(run).rejects.toMatchObject({
    ...{ code: 'setting-invalid', setting: 'time', value: 10 },
    message: expect.stringMatching(/^10s is too short here: give at least time \d+/),
  });
  expect(existsSync(out)).toBe(false);
});

/** A run that is stopped after its first step, long before an evaluation is due. */
async function stoppedEarly(out: string, close: () => void = () => undefined) {
  const { host, warnings } = hostOf(1);
  const stop = { requested: false };
  let before: unknown;
  const planned = (plan: Planned) => ({
    ...host.planned(plan),
    step: () => {
      stop.requested = true;
      before = recordIn(out).before;
    },
    close,
  });
  const wish = { flags: { ...flags, epochs: 10, measureEvery: 0.5 }, out, dataset, test };
  let isHeld = false;
  const report = async (run: string) => {
    isHeld = await lockFolder(run, () => undefined).then(
      () => false,
      ({ code }) => code === 'file-locked',
    );
    return '';
  };
  const trained = (await autoTrain(wish, { ...host, stop, planned, report }))!;
  return { trained, isHeld, before, warnings };
}

const recordIn = (run: string) => JSON.parse(readFileSync(join(run, 'train.json'), 'utf8'));

it('chooses among what was measured and what a stop leaves, and goes on by resume auto with its recipe', async () => {
  const out = join(folder, 'stopped');
  const { trained, isHeld, before } = await stoppedEarly(out);
  expect(trained.outcome).toBe('stopped');
  // What a run that is killed now goes on with, where the weights to begin from are gone.
  expect(before).toEqual({ editedCopies: trained.rows[0]!.before });
  expect(trained.best!.candidates.map(({ globalStep }) => globalStep)).toEqual([1]);
  expect(trained.rows[0]!.after).toBeCloseTo(trained.best!.best.value, 6);
  // Nobody else writes there until all is done.
  expect([isHeld, existsSync(join(out, 'run.lock'))]).toEqual([true, false]);
  const { recipe } = recordIn(out);
  expect(recipe.length).toBeGreaterThan(3);
  const more = { flags: { maxSteps: 2 }, out, dataset, test, resume: 'auto' };
  const gone = (await autoTrain(more, hostOf(1).host))!;
  expect(gone.best!.candidates.map(({ globalStep }) => globalStep)).toEqual([1, 2]);
  expect(recordIn(out).recipe).toEqual(recipe);
});

it('is of the last state where the best checkpoint cannot be read', async () => {
  const out = join(folder, 'unreadable');
  const { trained, warnings } = await stoppedEarly(out, () => {
    const { file } = JSON.parse(readFileSync(join(out, 'best.json'), 'utf8'));
    rmSync(join(out, file));
    mkdirSync(join(out, file));
  });
  expect(trained.best).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining('the best checkpoint could not be read: ')]);
  expect(trained.rows).toHaveLength(1);
  expect(existsSync(trained.model!.path)).toBe(true);
});

it('begins from the weights that planning has read', async () => {
  const first = join(folder, 'first');
  await stoppedEarly(first);
  const { host, planned } = hostOf(1);
  const wish = { flags: { ...flags, init: first, maxSteps: 1 }, out: join(folder, 'second'), dataset };
  await autoTrain(wish, host);
  expect(planned[0]!.beginning!.take()).toBeUndefined();
});

it('tells of a damaged checkpoint once, and goes on from the one before', async () => {
  const out = join(folder, 'damaged');
  await stoppedEarly(out);
  writeFileSync(join(out, 'checkpoint-9999.safetensors'), 'damaged');
  const { host } = hostOf(1);
  const warned: string[] = [];
  const warn = (text: Wording) => void warned.push(String(text));
  const more = { flags: { maxSteps: 2 }, out, dataset, test, resume: out };
  expect((await autoTrain(more, { ...host, warn }))!.outcome).toBe('stopped');
  expect(warned.filter((text) => text.includes('checkpoint-9999'))).toHaveLength(1);
});

it('needs a run folder for resume auto', async () => {
  const run = autoTrain({ flags, dataset, resume: 'auto' }, hostOf(1).host);
  await expect(run).rejects.toMatchObject({ code: 'setting-missing', setting: 'out' });
});
