import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeSafetensors,
  encoderNamed,
  encodeSafetensors,
  initEncoder,
  initQueue,
  isBuffer,
  prefixed,
  rng,
  type Tensor,
} from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerPlugins } from '../../../node/src/plugins.ts';
import { moco, temporaryFolder } from '../testing.ts';

const folder = temporaryFolder();
const [specPath, input, output] = ['SPEC.json', 'IN.safetensors', 'OUT.safetensors'].map((name) =>
  join(folder, name),
);
const spec = {
  arch: 'resnet-tiny',
  dim: 8,
  K: 16,
  m: 0.75,
  t: 0.2,
  lr: 0.125,
  wd: 0.5,
  bn: 'split',
  bnSplits: 2,
};
const batch = 8;
let given: Record<string, Tensor>;

function images(name: string): Tensor {
  const random = rng(3, name);
  const shape = [batch, 3, 8, 8];
  return { shape, dtype: 'float32', data: Float32Array.from({ length: batch * 192 }, () => random.normal()) };
}

beforeAll(async () => {
  await registerPlugins();
  const encoder = encoderNamed('resnet-tiny');
  const params = initEncoder(
    { encoder, encoderConfig: { imageSize: 8, stem: 'cifar' }, mlp: true, dim: 8 },
    5,
  );
  const step = (i: number) => ({
    [`xq.${i}`]: images(`q${i}`),
    [`xk.${i}`]: images(`k${i}`),
    [`perm.${i}`]: { shape: [batch], dtype: 'int32', data: rng(3, 'perm', i).permutation(batch) } as Tensor,
  });
  given = { ...prefixed('q', params), queue: initQueue(8, 16, 5), ...step(0), ...step(1) };
});

async function run(settings: object, tensors: Record<string, Tensor>, ...flags: string[]) {
  writeFileSync(specPath!, JSON.stringify(settings));
  writeFileSync(input!, encodeSafetensors(tensors));
  const result = await moco('replay', specPath!, '--in', input!, '--out', output!, ...flags);
  const out = result.code === 0 ? decodeSafetensors(readFileSync(output!), 'OUT').tensors : {};
  return { ...result, tensors: out };
}

/** Largest difference of a tensor from what a formula gives for each element. */
function largestError(found: Tensor, expected: (element: number) => number): number {
  let most = 0;
  for (let i = 0; i < found.data.length; i++) most = Math.max(most, Math.abs(found.data[i]! - expected(i)));
  return most;
}

describe('one step', () => {
  it.each(['ort', 'reference'])('follows the formulas of SGD, momentum and queue on %s', async (backend) => {
    const { code, tensors } = await run({ ...spec, steps: 1 }, given, '--backend', backend);
    expect(code).toBe(0);
    const names = Object.keys(given).filter((name) => name.startsWith('q.') && !isBuffer(name));
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const before = given[name]!.data;
      const gradient = tensors[`grad.${name.slice(2)}`]!.data;
      // PyTorch's SGD: its first velocity is the gradient with the decay. Float32 rounding of values up to about 5.
      expect(
        largestError(tensors[name]!, (i) => before[i]! - 0.125 * (gradient[i]! + 0.5 * before[i]!)),
        name,
      ).toBeLessThan(1e-6);
      // k starts as q, and follows q as it was before the step.
      expect(
        largestError(tensors[`k.${name.slice(2)}`]!, (i) => before[i]!),
        name,
      ).toBeLessThan(1e-6);
    }
    expect(tensors.queue_ptr).toMatchObject({ shape: [1], data: Int32Array.of(batch) });
    const [queue, old] = [tensors.queue!.data, given.queue!.data];
    for (let column = 0; column < 16; column++) {
      const values = Array.from({ length: 8 }, (_, d) => queue[d * 16 + column]!);
      expect(Math.hypot(...values)).toBeCloseTo(1, 5);
      const kept = values.every((value, d) => value === old[d * 16 + column]!);
      expect(kept).toBe(column >= batch);
    }
  });

  it('starts from other keys when they are given', async () => {
    const keys = Object.entries(given)
      .filter(([name]) => name.startsWith('q.'))
      .map(([name, value]) => {
        const data = Float32Array.from(value.data, (v) => 2 * v);
        return [`k.${name.slice(2)}`, { ...value, data }] as const;
      });
    const { tensors } = await run({ ...spec, steps: 1 }, { ...given, ...Object.fromEntries(keys) });
    const before = given['q.conv1.weight']!.data;
    expect(largestError(tensors['k.conv1.weight']!, (i) => (0.75 * 2 + 0.25) * before[i]!)).toBeLessThan(
      1e-6,
    );
  });
});

it('runs as many steps as there are batches, and agrees with float64', async () => {
  const [ort, reference] = [await run(spec, given), await run(spec, given, '--backend', 'reference')];
  expect(ort.tensors.loss!.shape).toEqual([2]);
  expect(Object.keys(ort.tensors).sort()).toEqual(Object.keys(reference.tensors).sort());
  const [a, b] = [ort.tensors.loss!.data, reference.tensors.loss!.data];
  // The project's bounds of parity: 1e-5 for the first step, 1e-3 after it.
  expect(Math.abs(a[0]! / b[0]! - 1)).toBeLessThan(1e-5);
  expect(Math.abs(a[1]! / b[1]! - 1)).toBeLessThan(1e-3);
});

describe('refuses', () => {
  const without = (name: string) =>
    Object.fromEntries(Object.entries(given).filter(([other]) => other !== name));
  it.each([
    ['a missing batch', () => without('xk.1'), /lacks "xk\.1"/],
    [
      'a missing parameter',
      () => without('q.conv1.weight'),
      /q\.\* is not of this arch: missing conv1\.weight, unknown none/,
    ],
    [
      'a strange parameter',
      () => ({ ...given, 'q.conv9.weight': given.queue! }),
      /missing none, unknown conv9\.weight/,
    ],
    [
      'a queue of another size',
      () => ({ ...given, queue: initQueue(8, 32, 5) }),
      /"queue" is \[8, 32\], not \[8, 16\]/,
    ],
  ] as const)('%s', async (_, tensors, message) => {
    const { code, err } = await run(spec, tensors());
    expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
    expect(err).toMatch(message);
  });
});
