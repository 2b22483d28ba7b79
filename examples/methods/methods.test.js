import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pretrain } from 'moco-ts';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'moco-example-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STEPS = 3;
const lines = [];
beforeEach(() => {
  lines.length = 0;
  vi.stubEnv('EPOCHS', '1');
  vi.stubEnv('STEPS', String(STEPS));
  vi.spyOn(console, 'log').mockImplementation((line) => lines.push(line));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** exp of the product of two random unit vectors of length `dim` by T, on average: the product has variance 1 / dim. */
const chance = (dim, T) => Math.exp(1 / (2 * dim * T * T));
const { log, exp } = Math;
const [K, N] = [1024, 64];
const sgd = { optimizer: 'sgd', lr: 0.03, wd: 1e-4 };
const queue = { ...sgd, mocoK: K, mocoM: 0.99 };

/** Each file's settings as the library takes them, and between which values the loss of an untrained encoder lies. */
const methods = {
  // The queue is random, and a positive's product is between 0 and 1.
  'moco-v1': {
    settings: queue,
    first: [log(1 + K * chance(128, 0.07) * exp(-1 / 0.07)), log(1 + K * chance(128, 0.07))],
  },
  'moco-v2': {
    settings: queue,
    first: [log(1 + K * chance(128, 0.2) * exp(-1 / 0.2)), log(1 + K * chance(128, 0.2))],
  },
  // The predictor is random, so queries have nothing to do with keys: 4 T log(N) and what random products add, within 5 %.
  'moco-v3': {
    settings: {
      ...{ optimizer: 'adamw', lr: 1e-3, wd: 1e-4, scaleLr: false },
      ...{ mocoT: 0.2, mocoDim: 64, mocoMlpDim: 256 },
    },
    first: [0.95, 1.05].map((share) => share * 4 * 0.2 * log(N * chance(64, 0.2))),
  },
  // All views are much alike to an untrained encoder, those of the same image a little more.
  simclr: {
    settings: { optimizer: 'lars', lr: 0.3, wd: 1e-6 },
    first: [0.95 * log(2 * N - 1), log(2 * N - 1)],
  },
  // The bank holds features of the same encoder, which the library's does not. With x = exp(v_j.v / T) in parts of its mean, which
  // Z is made of, the noise costs the sum of log(1 + x / K), which is at most 1, and the positive log(1 + K / x), x being about 1.
  instdisc: { first: [0.5, 1.1].map((share) => share * (1 + log(1 + K))) },
  // The queue is random: a student's product with the teacher's feature is between -1 and 1, and the teacher is sure.
  distill: {
    settings: { ...sgd, mocoK: K, cropMin: 0.2 },
    teacher: 'resnet-tiny',
    first: [log(1 + K * chance(256, 0.2) * exp(-1 / 0.2)), log(1 + K * chance(256, 0.2) * exp(1 / 0.2))],
  },
};

/** The losses of the same steps by the library. */
async function expected(method, settings) {
  const run = pretrain({
    ...{ data: 'emoji', method, arch: 'resnet-micro', imageSize: 32, batchSize: N, seed: 0 },
    ...{ epochs: 1, maxSteps: STEPS, measureEvery: 0, workers: 1, out: join(folder, method) },
    ...settings,
  });
  const losses = [];
  for await (const { loss } of run) losses.push(loss);
  return losses;
}

/** A checkpoint of an encoder. */
async function checkpointOf(arch) {
  const run = { data: 'emoji', method: 'simclr', arch, imageSize: 32, batchSize: N, seed: 1, workers: 1 };
  return (await pretrain({ ...run, maxSteps: 1, out: join(folder, arch) }).result).checkpoint;
}

describe.each(Object.entries(methods))('%s', (method, { settings, teacher: arch, first: [least, most] }) => {
  it('begins as guessing does, as the library with its settings, and compares with the untrained encoder', async () => {
    const teacher = arch && (await checkpointOf(arch));
    if (teacher) vi.stubEnv('TEACHER', teacher);
    await import(/* @vite-ignore */ `./${method}.ts`);
    expect(lines).toHaveLength(2);
    const [first, mean] = lines[0].match(/\d+\.\d{4}/g).map(Number);
    expect(first).toBeGreaterThan(least);
    expect(first).toBeLessThan(most);
    if (settings) {
      const losses = await expected(method, { ...settings, ...(teacher && { teacher }) });
      expect(losses).toHaveLength(STEPS);
      expect(first).toBeCloseTo(losses[0], 4);
      expect(mean).toBeCloseTo(losses.reduce((sum, loss) => sum + loss) / STEPS, 4);
    }
    // Above it is a training that diverges, as by a Z that the bank outgrows.
    expect(mean).toBeLessThan(1.1 * most);
    const [trained, untrained] = lines[1].match(/\d+\.\d/g).map(Number);
    // An untrained encoder finds far more than the .1 % of chance, by colours; three steps don't ruin it.
    expect(untrained).toBeGreaterThan(2);
    expect(trained).toBeGreaterThan(2);
  });
});
