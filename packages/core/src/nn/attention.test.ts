import { describe, expect, it } from 'vitest';
import type { Params } from '../encoder.ts';
import { ShapeError } from '../errors.ts';
import { trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { attention, firstAttention, initAttention } from './attention.ts';

function attend(params: Params, heads: number, x: Tensor, layer = attention): number[] {
  const graph = trace((builder) => {
    const traced = Object.fromEntries(
      Object.entries(params).map(([name, { shape }]) => [name, builder.input(name, shape)]),
    );
    return { y: layer(traced, 'attn', builder.input('x', x.shape), heads) };
  });
  return [...interpret(graph, { ...params, x }).y!.data];
}

/** Matrices of [2, 2] as the queries', keys' and values' weights; the last layer is the unit matrix. */
function parameters(q: readonly number[], k: readonly number[], v: readonly number[]): Params {
  return {
    'attn.qkv.weight': tensor([...q, ...k, ...v], [6, 2]),
    'attn.qkv.bias': tensor([0, 0, 0, 0, 0, 0], [6]),
    'attn.proj.weight': tensor([1, 0, 0, 1], [2, 2]),
    'attn.proj.bias': tensor([0, 0], [2]),
  };
}
const unit = [1, 0, 0, 1];
const nothing = [0, 0, 0, 0];
const close = (actual: readonly number[], expected: readonly number[]) => {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 6);
  });
};

describe('attention', () => {
  it('without queries is the mean of the values, of each image apart', () => {
    const x = tensor([1, 2, 3, 6, 10, 20, 30, 60], [2, 2, 2]);
    close(attend(parameters(nothing, unit, unit), 1, x), [2, 4, 2, 4, 20, 40, 20, 40]);
  });
  it('weighs by softmax(q k / sqrt(d)), worked out by hand', () => {
    // Tokens (1, 0) and (0, 0): scores 1 / sqrt 2 and 0 for the first, both 0 for the second.
    const weight = Math.exp(Math.SQRT1_2) / (Math.exp(Math.SQRT1_2) + 1);
    const x = tensor([1, 0, 0, 0], [1, 2, 2]);
    close(attend(parameters(unit, unit, [0, 0, 1, 0]), 1, x), [0, weight, 0, 0.5]);
  });
  it('lets each head see its own part of the tokens', () => {
    // Two heads of one element: the second one's scores are all 0.
    const weight = Math.E / (Math.E + 1);
    const x = tensor([1, 0, 0, 0], [1, 2, 2]);
    close(attend(parameters(unit, unit, [1, 0, 1, 0]), 2, x), [weight, 0.5, 0.5, 0.5]);
  });
  it('of the first token alone is that of all tokens', () => {
    const params: Params = {};
    initAttention(params, 'attn', 12, (name) => rng(3, name));
    const random = rng(3, 'values');
    for (const name of ['attn.qkv.bias', 'attn.proj.bias'])
      params[name] = tensor(
        Array.from(params[name]!.data, () => random.normal()),
        params[name]!.shape,
      );
    const x = tensor(
      Array.from({ length: 2 * 5 * 12 }, () => random.normal()),
      [2, 5, 12],
    );
    const all = attend(params, 3, x);
    close(attend(params, 3, x, firstAttention), [...all.slice(0, 12), ...all.slice(60, 72)]);
  });
  it('refuses heads that do not divide the tokens', () => {
    const x = tensor([1, 0, 0, 0], [1, 2, 2]);
    expect(() => attend(parameters(unit, unit, unit), 3, x)).toThrow(ShapeError);
    expect(() => attend(parameters(unit, unit, unit), 3, x)).toThrow(/attn: \[1, 2, 2\].*3 heads/);
  });
  it('starts with qkv as three Xavier matrices', () => {
    const params: Params = {};
    initAttention(params, 'attn', 64, (name) => rng(0, name));
    const largest = Math.max(...Array.from(params['attn.qkv.weight']!.data, Math.abs));
    // One matrix of [192, 64] would be bound by sqrt(6 / 256).
    expect(largest).toBeLessThanOrEqual(Math.fround(Math.sqrt(6 / 128)));
    expect(largest).toBeGreaterThan(0.99 * Math.sqrt(6 / 128));
  });
});
