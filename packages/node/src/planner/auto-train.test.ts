import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineDataset } from '@moco-ts/data';
import { afterAll, expect, it } from 'vitest';
import { autoTrain } from './auto-train.ts';
import type { Planned, TrainHost } from './host.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-train-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dataset = defineDataset({
  ...{ name: 'own', length: 40 },
  decode: (index: number) => ({
    ...{ width: 8, height: 8 },
    data: Uint8Array.from({ length: 192 }, (_, at) => (at * (index + 3)) % 251),
  }),
});
const flags = {
  ...{ data: 'object:own', arch: 'resnet-micro', imageSize: 16, workers: 0, threads: 1, backend: 'ort' },
};

/** A clock that goes on by a tick each time somebody looks at it. @param tick milliseconds */
function hostOf(tick: number) {
  let now = 0;
  const planned: Planned[] = [];
  const silent = () => undefined;
  const host: TrainHost = {
    ...{ note: silent, warn: silent, phase: silent, stop: { requested: false } },
    clock: () => {
      now += tick;
      return now;
    },
    planned: (plan) => {
      planned.push(plan);
      return { step: silent, epoch: silent, note: silent, warn: silent, close: silent };
    },
  };
  return { host, planned, now: () => now };
}

it('ends on its time, with what follows training', async () => {
  const out = join(folder, 'timed');
  const { host, planned, now } = hostOf(100);
  const trained = (await autoTrain({ flags: { ...flags, time: 120 }, out, dataset }, host))!;
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
    message: expect.stringMatching(/^time 10s is too short here: give at least time \d+/),
  });
  expect(existsSync(out)).toBe(false);
});
