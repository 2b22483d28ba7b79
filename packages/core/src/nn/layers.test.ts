import { describe, expect, it, vi } from 'vitest';
import type { ForwardContext } from '../encoder.ts';
import { ShapeError } from '../errors.ts';
import { grad } from '../grad.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { sum } from '../graph/ops/reduce.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { noRandom, type Rng, rng } from '../rng.ts';
import { tensor } from '../tensor/tensor.ts';
import { initLinear } from './init.ts';
import { batchNorm, linear, normalize } from './layers.ts';

const context = (training: boolean, splits: number): ForwardContext => ({
  config: { imageSize: 1 },
  training,
  normalization: { splits },
  updates: new Map(),
});
const vector = (value: number, size = 1) => ({ shape: [size], data: Array<number>(size).fill(value) });
const buffers = {
  'bn.weight': vector(1),
  'bn.bias': vector(0),
  'bn.running_mean': vector(0),
  'bn.running_var': vector(1),
};

function normalized(data: number[], training: boolean, splits: number) {
  const given = context(training, splits);
  const graph = trace((builder) => {
    const params = Object.fromEntries(Object.keys(buffers).map((name) => [name, builder.input(name, [1])]));
    const y = batchNorm(given, params, 'bn', builder.input('x', [data.length, 1]));
    return { y, ...Object.fromEntries(given.updates) };
  });
  return interpret(graph, { ...buffers, x: { shape: [data.length, 1], data } });
}

describe('batchNorm', () => {
  it('takes sample n into group n mod splits', () => {
    // Groups [0, 2] and [10, 30]: in each the values stand one deviation below and above the mean.
    const { y } = normalized([0, 10, 2, 30], true, 2);
    [-1, -1, 1, 1].forEach((expected, i) => {
      expect(y!.data[i]).toBeCloseTo(expected, 4);
    });
  });
  it('follows the mean of the groups, with the unbiased variance', () => {
    const outputs = normalized([0, 10, 2, 30], true, 2);
    // Means 1 and 20; unbiased variances 2 and 200. Momentum 0.1 from 0 and 1.
    expect(outputs['bn.running_mean']!.data[0]).toBeCloseTo(0.1 * 10.5, 6);
    expect(outputs['bn.running_var']!.data[0]).toBeCloseTo(0.9 + 0.1 * 101, 6);
  });
  it('uses the running statistics outside training, and leaves them', () => {
    const outputs = normalized([0, 10, 2, 30], false, 1);
    expect(Object.keys(outputs)).toEqual(['y']);
    expect(outputs.y!.data[3]).toBeCloseTo(30, 3);
  });
  it('refuses groups that are uneven or of one value', () => {
    expect(() => normalized([1, 2, 3], true, 2)).toThrow(ShapeError);
    expect(() => normalized([1, 2], true, 2)).toThrow(/bn: a batch of 2 can't be normalised in 2 groups/);
  });
  it('names a parameter that is missing', () => {
    expect(() =>
      trace((builder) => ({ y: batchNorm(context(true, 1), {}, 'bn', builder.input('x', [4, 1])) })),
    ).toThrow(/"bn.weight" is missing/);
  });
});

describe('normalize', () => {
  const rows = (data: number[]) => {
    const graph = trace((builder) => ({ y: normalize(builder.input('x', [data.length / 2, 2])) }));
    return [...interpret(graph, { x: { shape: [data.length / 2, 2], data } }).y!.data];
  };
  it('gives rows the length 1, and leaves rows of zeros', () => {
    expect(rows([3, 4, 0, 0, -1e-3, 0])).toEqual([0.6, 0.8, 0, 0, -1, 0]);
  });
});

describe('linear', () => {
  it('is x W^T + b', () => {
    const graph = trace((builder) => {
      const params: Record<string, Traced> = {
        'fc.weight': builder.input('w', [2, 3]),
        'fc.bias': builder.input('b', [2]),
      };
      return { y: linear(params, 'fc', builder.input('x', [1, 3])) };
    });
    const { y } = interpret(graph, {
      w: { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] },
      b: { shape: [2], data: [10, 20] },
      x: { shape: [1, 3], data: [1, 0, -1] },
    });
    expect([...y!.data]).toEqual([8, 18]);
  });
  it('draws nothing where shapes alone are wanted', () => {
    const draws = vi.spyOn(noRandom(), 'uniform');
    const params: Parameters<typeof initLinear>[0] = {};
    initLinear(params, 'fc', 64, 500, noRandom);
    expect(params['fc.weight']!.shape).toEqual([500, 64]);
    expect(draws).not.toHaveBeenCalled();
    draws.mockRestore();
  });
  it("starts by PyTorch's default: uniform within 1 / sqrt(inputs), weight and bias", () => {
    const params: Parameters<typeof initLinear>[0] = {};
    const random = (name: string): Rng => rng(0, name);
    initLinear(params, 'fc', 64, 500, random);
    const bound = 1 / Math.sqrt(64);
    for (const name of ['fc.weight', 'fc.bias']) {
      const values = Array.from(params[name]!.data);
      const square = values.reduce((total, x) => total + x * x, 0) / values.length;
      expect(Math.max(...values.slice(0, 2000).map(Math.abs))).toBeLessThanOrEqual(bound);
      // The variance of U(-b, b) is b^2 / 3, that of its square 4 b^4 / 45; five standard errors.
      expect(Math.abs(square - bound ** 2 / 3)).toBeLessThan(
        5 * bound ** 2 * Math.sqrt(4 / 45 / values.length),
      );
    }
  });
});

describe('normalize', () => {
  it('gives a row of zeros zeros and a finite gradient, as PyTorch does', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2, 2]);
      return {
        y: normalize(x),
        loss: sum(mul(normalize(x), builder.constant(tensor([1, 2, 3, 4], [2, 2])))),
      };
    });
    const feeds = { x: { shape: [2, 2], data: [0, 0, 3, 4] } };
    const outputs = interpret(grad(graph, 'loss', ['x']), feeds);
    expect([...outputs.y!.data]).toEqual([0, 0, 0.6, 0.8]);
    expect([...outputs['grad.x']!.data].every(Number.isFinite)).toBe(true);
  });
});
