import { scalar, type Tensor, tensor } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from './config.ts';
import type { RunMethod } from './method.ts';
import { builtInMethods } from './methods/index.ts';
import { createMethod, encoderOf, rateAt, viewNames } from './model.ts';
import { meaningful, type RunFlags } from './table.ts';

const folder = { source: { data: 'photos', split: 'train' as const } };
const at = (flags: RunFlags, epoch: number, step: number) =>
  rateAt(resolveConfig({ data: 'photos', ...flags }, folder), { epoch, step, progress: 0 }, 10);

it('the learning rate falls tenfold at the epochs of the schedule', () => {
  expect(at({}, 119, 9)).toBeCloseTo(0.03, 12);
  expect(at({}, 120, 0)).toBeCloseTo(0.003, 12);
  expect(at({}, 160, 0)).toBeCloseTo(0.0003, 12);
});

it('the learning rate follows the cosine by whole epochs, as the official code, or by steps', () => {
  const cosine = (part: number) => 0.03 * 0.5 * (1 + Math.cos(Math.PI * part));
  expect(at({ cos: true }, 50, 7)).toBeCloseTo(cosine(50 / 200), 12);
  expect(at({ cos: true, lrPerStep: true }, 50, 7)).toBeCloseTo(cosine(50.7 / 200), 12);
});

it('the learning rate rises linearly from above 0 to the base rate', () => {
  const flags = { warmupEpochs: 2 };
  const rates = Array.from({ length: 20 }, (_, i) => at(flags, Math.floor(i / 10), i % 10));
  rates.forEach((value, i) => {
    expect(value).toBeCloseTo((0.03 * (i + 1)) / 20, 12);
  });
});

it('the learning rate grows with the batch where the method asks for it', () => {
  const flags = { method: 'moco-v3', batchSize: 1024, warmupEpochs: 0 } as const;
  expect(at(flags, 0, 0)).toBeCloseTo(1.2, 12);
  expect(at({ ...flags, scaleLr: false }, 0, 0)).toBeCloseTo(0.3, 12);
});

it.each(builtInMethods)('$name computes activations again if asked to', ({ name: method }) => {
  registerEncoders();
  const sizes = { imageSize: 16, batchSize: 4, bnSplits: 2, mocoK: 8, mocoMlpDim: 8 };
  const flags = meaningful(method, { method, arch: 'resnet-micro', ...sizes });
  const barriers = (more: RunFlags) => {
    const { state, step } = createMethod(resolveConfig({ data: 'photos', ...flags, ...more }, folder), 8);
    return step(state()).graph.nodes.filter(({ op }) => op === 'barrier').length;
  };
  expect(barriers({})).toBe(0);
  // A block has one or more: what it begins at, in each pass.
  expect(barriers({ checkpointActivations: true })).toBeGreaterThanOrEqual(4);
});

it('the plugin that a checkpoint names is shown escaped, and loading it is left to the user', () => {
  const config = {
    ...resolveConfig({ data: 'photos' }, folder),
    arch: 'unheard-of',
    plugin: ['evil', '\u001b[2J'],
  };
  const message = (() => {
    try {
      encoderOf(config);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  })();
  expect(message).toContain('came with a plugin');
  expect(message).not.toMatch(/--plugin \W*evil/);
  expect(message).not.toContain('\u001b');
});

describe('a method’s views', () => {
  registerEncoders();
  const named = (method: string) => {
    const small = { arch: 'resnet-micro', imageSize: 16, batchSize: 8, mocoK: 16 } as const;
    const { mocoK: _, ...free } = small;
    const queue = ['moco-v1', 'moco-v2', 'instdisc', 'distill'].includes(method);
    const config = resolveConfig({ data: 'photos', method, ...(queue ? small : free) }, folder);
    return { config, method: createMethod(config, 20) };
  };
  /** Of SimCLR with other feeds. */
  const namesOf = (feeds: RunMethod['feeds']) => {
    const { config, method } = named('simclr');
    return viewNames({ ...method, feeds }, config);
  };
  const { feeds } = named('simclr').method;
  const shape = [8, 3, 16, 16];

  it.each([
    ['moco-v1', ['xq', 'xk']],
    ['moco-v2', ['xq', 'xk']],
    ['moco-v3', ['xq', 'xk']],
    ['simclr', ['xq', 'xk']],
    ['instdisc', ['xq']],
    ['distill', ['xq']],
  ])('are fed as they are by %s', (name, expected) => {
    const { config, method } = named(name);
    expect(viewNames(method, config)).toEqual(expected);
  });
  it('have their size where the feeds are asked for, so that feeds may be tensors', () => {
    expect(
      namesOf(({ views: [first, second] }) => ({
        xq: tensor(first!, shape, 'uint8'),
        xk: tensor(second!, shape, 'uint8'),
      })),
    ).toEqual(['xq', 'xk']);
    expect(namesOf(({ views }) => ({ xq: tensor(views[0]!, shape), xk: tensor(views[1]!, shape) }))).toEqual(
      [],
    );
  });
  it('are given normalised where a method makes something of one, in its place or beside it', () => {
    const half = (view: Tensor) =>
      tensor(
        Float32Array.from(view.data, (value) => value / 2),
        view.shape,
      );
    expect(
      namesOf((batch, at) => {
        const { xq, xk } = feeds(batch, at);
        return { xq: half(xq!), xk: xk! };
      }),
    ).toEqual([]);
    const beside = (mix: (view: Tensor) => Tensor) =>
      namesOf((batch, at) => {
        const fed = feeds(batch, at);
        return { ...fed, mix: mix(fed.xq!) };
      });
    expect(beside(half)).toEqual([]);
    // Nothing is left of the contrast of an even image.
    expect(beside(({ data }) => scalar(Math.max(...data) - Math.min(...data)))).toEqual([]);
    expect(beside(() => scalar(Number.NaN))).toEqual(['xq', 'xk']);
  });
});

describe('a batch that replicas share', () => {
  const flags = {
    method: 'moco-v2',
    arch: 'resnet-micro',
    imageSize: 16,
    batchSize: 24,
    bnSplits: 2,
    mocoK: 48,
  };
  const resolved = (more: RunFlags = {}) => resolveConfig({ data: 'photos', ...flags, ...more }, folder);
  const moment = { epoch: 3, step: 5, globalStep: 11, progress: 0 };
  const batch = (rows: number) => ({
    indices: new Int32Array(rows),
    views: [0, 1].map(() => new Float32Array(rows * 3 * 16 ** 2)),
    waitMs: 0,
  });

  it('has its images, and one order of the keys of all, drawn alike by each', () => {
    registerEncoders();
    const [one, two] = [1, 2].map((replicas) => createMethod(resolved(), 24, undefined, replicas)) as [
      RunMethod,
      RunMethod,
    ];
    const whole = one.feeds(batch(24), moment);
    const part = two.feeds(batch(12), moment);
    expect(part.xq!.shape).toEqual([12, 3, 16, 16]);
    expect(part.perm).toEqual(whole.perm);
    expect([...part.perm!.data].sort((a, b) => a - b)).toEqual(Array.from({ length: 24 }, (_, i) => i));
  });

  it('permutes the keys of all replicas within each micro-batch', () => {
    registerEncoders();
    const method = createMethod(resolved({ accumulate: 3 }), 24, undefined, 2);
    const { data } = method.feeds(batch(12), moment).perm!;
    for (const at of [0, 8, 16])
      expect([...data.subarray(at, at + 8)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it.each([
    [{}, 5, "batchSize 24 can't be shared equally by 5 replicas: give 25, or another multiple of 5"],
    [
      { accumulate: 8 },
      2,
      "batchSize 24 can't be shared equally by 2 replicas, each in accumulate 8 parts: give 32, or another multiple of 16",
    ],
  ])('is refused where there are no equal parts: %o on %d', (more, replicas, message) => {
    expect(() => createMethod(resolved(more), 24, undefined, replicas)).toThrow(message);
  });
});
