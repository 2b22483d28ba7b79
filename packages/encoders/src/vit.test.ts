/// <reference types="node" />
/** Against PyTorch in float64, and timm's names: the fixture that parity/vit.py makes. */
import { readFileSync } from 'node:fs';
import {
  type Encoder,
  encoderGraph,
  encoderNamed,
  type Feed,
  gradients,
  interpret,
  isBuffer,
  mul,
  noRandom,
  rng,
  sizeOf,
  sum,
  type Tensor,
  trace,
  UserError,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import * as archs from './archs.ts';
import { defineVit, registerEncoders, sinCosPositions, type VitConfig } from './index.ts';

interface Case {
  readonly spec: {
    readonly dim: number;
    readonly depth: number;
    readonly heads: number;
    readonly stem: 'patch' | 'conv';
    readonly imageSize: number;
    readonly patchSize: number;
  };
  readonly features: readonly number[];
  readonly evaluation: readonly number[];
  /** A sample of the patches' tokens, in evaluation mode. */
  readonly tokens: readonly number[];
  readonly gradients: Readonly<Record<string, { norm: number; sample: readonly number[] }>>;
}
interface Fixture {
  readonly seed: number;
  readonly batch: number;
  readonly sample: number;
  readonly cases: Readonly<Record<string, Case>>;
  readonly timm: Readonly<
    Record<string, { depth: number; parameters: number; shapes: Readonly<Record<string, readonly number[]>> }>
  >;
}
const path = new URL('../../../parity/fixtures/vit.json', import.meta.url);
const fixture: Fixture = JSON.parse(readFileSync(path, 'utf8'));

registerEncoders();
const random = (seed: number) => (name: string) => rng(seed, `init/${name}`);
const shapesOf = (encoder: Encoder<VitConfig>, config: VitConfig = { imageSize: 224 }) =>
  encoder.init(config, noRandom);

/** parity/vit.py's float32 values. */
function uniform(purpose: string, shape: readonly number[], low: number, high: number): Tensor {
  const stream = rng(fixture.seed, `vit/${purpose}`);
  const data = Float32Array.from({ length: sizeOf(shape) }, () => stream.uniform(low, high));
  return { shape, dtype: 'float32', data };
}

/** parity/vit.py's weights: nothing is at 0 or 1. */
function weight(name: string, shape: readonly number[]): Tensor {
  if (shape.length > 1) {
    const bound = name === 'cls_token' ? 1 : Math.sqrt(3 / sizeOf(shape.slice(1)));
    return uniform(name, shape, -bound, bound);
  }
  return /(weight|running_var)$/.test(name)
    ? uniform(name, shape, 0.5, 1.5)
    : uniform(name, shape, -0.3, 0.3);
}

/** All elements where there are few, else those at (i * 2654435761) mod n. */
function sample(data: ArrayLike<number>): number[] {
  const n = data.length;
  if (n <= fixture.sample) return Array.from(data);
  return Array.from(
    { length: fixture.sample },
    (_, i) => data[Number((BigInt(i) * 2654435761n) % BigInt(n))]!,
  );
}

function norm(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values, (x) => x * x).reduce((a, b) => a + b, 0));
}

/** The norm of the difference as a part of the expected norm. */
function relative(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  return norm(expected.map((value, i) => actual[i]! - value)) / norm(expected);
}

/** Both sides compute in float64 from the same bits. */
const tolerance = 1e-9;

describe.each(Object.entries(fixture.cases))(
  'a small one with the stem %s',
  (name, { spec, ...expected }) => {
    const encoder = defineVit({ name, ...spec });
    const config = { imageSize: spec.imageSize, patchSize: spec.patchSize, trainPatchEmbed: true };
    const params = Object.fromEntries(
      Object.entries(shapesOf(encoder, config)).map(([key, { shape }]) => [key, weight(key, shape)]),
    );
    const side = spec.imageSize;
    const feeds: Record<string, Feed> = {
      ...params,
      x: uniform('picture', [fixture.batch, 3, side, side], -2, 2),
      upstream: uniform('upstream', [fixture.batch, spec.dim], -1, 1),
    };
    const run = (training: boolean) => {
      const by = [...Object.keys(params).filter((key) => !isBuffer(key)), 'x'];
      const graph = trace((builder) => {
        const traced = Object.fromEntries(
          Object.entries(feeds).map(([key, { shape }]) => [key, builder.input(key, shape)]),
        );
        const context = { config, training, normalization: { splits: 1 }, updates: new Map() };
        const y = encoder.forward(context, traced, traced.x!);
        if (!training) return { y, tokens: encoder.tokens!(context, traced, traced.x!) };
        const results = gradients(
          sum(mul(y, traced.upstream!)),
          by.map((key) => traced[key]!),
        );
        return { y, ...Object.fromEntries(by.map((key, i) => [`grad.${key}`, results[i]!])) };
      });
      return interpret(graph, feeds);
    };
    const outputs = run(true);

    it("gives PyTorch's features", () => {
      expect(relative(outputs.y!.data, expected.features)).toBeLessThan(tolerance);
      expect(relative(run(false).y!.data, expected.evaluation)).toBeLessThan(tolerance);
    });
    it("gives PyTorch's tokens of the patches", () => {
      const { shape, data } = run(false).tokens!;
      expect(shape).toEqual([fixture.batch, (side / spec.patchSize) ** 2, spec.dim]);
      expect(relative(sample(data), expected.tokens)).toBeLessThan(tolerance);
    });
    it("has PyTorch's gradients by every parameter and by the image", () => {
      const names = Object.keys(outputs).flatMap((key) => (key.startsWith('grad.') ? [key.slice(5)] : []));
      expect(names.sort()).toEqual(Object.keys(expected.gradients).sort());
      for (const [key, gradient] of Object.entries(expected.gradients)) {
        const { data } = outputs[`grad.${key}`]!;
        expect(relative(sample(data), gradient.sample), key).toBeLessThan(tolerance);
        expect(Math.abs(norm(data) / gradient.norm - 1), key).toBeLessThan(tolerance);
      }
    });
  },
);

describe.each(Object.entries(fixture.timm))('%s', (name, { depth, parameters, shapes }) => {
  const encoder: Encoder<VitConfig> = encoderNamed(name);
  const params = shapesOf(encoder);
  it("has timm's names and shapes, but for the fixed positions", () => {
    const expected: Record<string, readonly number[]> = { ...shapes };
    delete expected.pos_embed;
    for (const [key, shape] of Object.entries(shapes))
      if (key.startsWith('blocks.0.'))
        for (let i = 1; i < depth; i++) expected[key.replace('blocks.0.', `blocks.${i}.`)] = shape;
    const actual = Object.fromEntries(Object.entries(params).map(([key, { shape }]) => [key, [...shape]]));
    expect(actual).toEqual(expected);
  });
  it("has timm's number of parameters", () => {
    expect(Object.values(params).reduce((total, { shape }) => total + sizeOf(shape), 0)).toBe(parameters);
  });
  it('gives features of its width', () => {
    const graph = encoderGraph({ encoder, encoderConfig: { imageSize: 224 } }, params, 2);
    expect(graph.values[graph.outputs[0]!.value]!.shape).toEqual([2, encoder.featureDim({ imageSize: 224 })]);
  });
});

describe('the convolutional stem', () => {
  it('has four convolutions up to the width and a 1x1 one, in the place of one block', () => {
    const shapes = Object.entries(shapesOf(archs.vit_conv_small));
    const convs = shapes.filter(([, { shape }]) => shape.length === 4);
    expect(convs.map(([key, { shape }]) => `${key} ${shape.join('x')}`)).toEqual([
      'patch_embed.proj.0.weight 48x3x3x3',
      'patch_embed.proj.3.weight 96x48x3x3',
      'patch_embed.proj.6.weight 192x96x3x3',
      'patch_embed.proj.9.weight 384x192x3x3',
      'patch_embed.proj.12.weight 384x384x1x1',
    ]);
    expect(shapes.filter(([key]) => key.endsWith('.norm1.weight'))).toHaveLength(11);
    expect(Object.keys(shapesOf(archs.vit_conv_base))).toContain('patch_embed.proj.10.running_var');
  });
  it('halves as often as smaller patches need', () => {
    const shapes = shapesOf(archs.vit_conv_small, { imageSize: 32, patchSize: 4 });
    expect(shapes['patch_embed.proj.0.weight']!.shape).toEqual([192, 3, 3, 3]);
    expect(shapes['patch_embed.proj.6.weight']!.shape).toEqual([384, 384, 1, 1]);
  });
});

describe('sizes', () => {
  const refused = (config: VitConfig, encoder = archs.vit_small) => {
    const graph = () => encoder.init(config, noRandom);
    expect(graph).toThrow(UserError);
    return expect(graph);
  };
  it('that do not fit are refused', () => {
    refused({ imageSize: 225 }).toThrow(/vit_small: patches of 16 pixels don't fit images of 225/);
    refused({ imageSize: 32, patchSize: 5 }).toThrow(/patches of 5 pixels/);
    refused({ imageSize: 32, patchSize: 0 }).toThrow(/patch size 0 should be a positive integer/);
    refused({ imageSize: 24, patchSize: 12 }, archs.vit_conv_small).toThrow(/power of two/);
    refused({ imageSize: 16, patchSize: 1 }, archs.vit_conv_small).toThrow(/power of two/);
    expect(() =>
      defineVit({ name: 'odd', dim: 36, depth: 1, heads: 5 }).featureDim({ imageSize: 32 }),
    ).toThrow(/odd: the width 36 should be a multiple of 4 and of the 5 heads/);
  });
});

describe('the patch projection', () => {
  const frozen = ['patch_embed.proj.weight', 'patch_embed.proj.bias'];
  const small = defineVit({ name: 'small', dim: 8, depth: 1, heads: 2 });
  const gradientOf = (config: VitConfig, key: string) => {
    const params = small.init(config, random(0));
    const graph = trace((builder) => {
      const traced = Object.fromEntries(
        Object.entries(params).map(([name, { shape }]) => [name, builder.input(name, shape)]),
      );
      const context = { config, training: true, normalization: { splits: 1 }, updates: new Map() };
      const y = small.forward(context, traced, builder.input('x', [1, 3, 8, 8]));
      return { gradient: gradients(sum(mul(y, y)), [traced[key]!])[0]! };
    });
    const x = uniform('frozen', [1, 3, 8, 8], -1, 1);
    return norm(interpret(graph, { ...params, x }).gradient!.data);
  };
  it('is frozen unless it is asked for', () => {
    const config = { imageSize: 8, patchSize: 4 };
    const trained = { ...config, trainPatchEmbed: true };
    expect(small.frozen!(config)).toEqual(frozen);
    expect(small.frozen!(trained)).toEqual([]);
    expect(archs.vit_conv_small.frozen!({ imageSize: 224 })).toEqual([]);
    expect(frozen.map((key) => gradientOf(config, key))).toEqual([0, 0]);
    expect(Math.min(...frozen.map((key) => gradientOf(trained, key)))).toBeGreaterThan(0);
    expect(gradientOf(config, 'cls_token')).toBeGreaterThan(0);
  });
});

describe('initialisation', () => {
  const encoder = defineVit({ name: 'one', dim: 96, depth: 1, heads: 3 });
  const params = encoder.init({ imageSize: 32, patchSize: 8 }, random(0));
  it.each([
    ['blocks.0.attn.qkv.weight', Math.sqrt(6 / (96 + 96))],
    ['blocks.0.attn.proj.weight', Math.sqrt(6 / (96 + 96))],
    ['blocks.0.mlp.fc1.weight', Math.sqrt(6 / (96 + 384))],
    ['blocks.0.mlp.fc2.weight', Math.sqrt(6 / (96 + 384))],
    ['patch_embed.proj.weight', Math.sqrt(6 / (3 * 8 * 8 + 96))],
  ])('%s is uniform within its Xavier bound', (name, bound) => {
    const { data } = params[name]!;
    const largest = Math.max(...Array.from(data, Math.abs));
    expect(largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(largest).toBeGreaterThan(0.99 * bound);
    // The variance of U(-b, b) is b^2 / 3, that of its square 4 b^4 / 45; five standard errors.
    const square = norm(data) ** 2 / data.length;
    expect(Math.abs(square - bound ** 2 / 3)).toBeLessThan(5 * bound ** 2 * Math.sqrt(4 / 45 / data.length));
  });
  it('has biases of 0, normalisations of 1 and 0, and a class token of deviation 1e-6', () => {
    for (const [name, { shape, data }] of Object.entries(params)) {
      if (shape.length > 1) continue;
      expect(
        data.every((x) => x === (/norm\d?\.weight$/.test(name) ? 1 : 0)),
        name,
      ).toBe(true);
    }
    const token = params.cls_token!.data;
    expect(norm(token) / Math.sqrt(token.length) / 1e-6).toBeGreaterThan(0.6);
    expect(norm(token) / Math.sqrt(token.length) / 1e-6).toBeLessThan(1.4);
  });
  it("starts the stem's convolutions by PyTorch's default", () => {
    const conv = defineVit({ name: 'conv', dim: 96, depth: 1, heads: 3, stem: 'conv' });
    const { data } = conv.init({ imageSize: 32 }, random(0))['patch_embed.proj.9.weight']!;
    const bound = 1 / Math.sqrt(9 * 48);
    const largest = Math.max(...Array.from(data, Math.abs));
    expect(largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(largest).toBeGreaterThan(0.99 * bound);
  });
});

describe('positions', () => {
  it('are sines and cosines of row and column, with zeros in front', () => {
    const table = sinCosPositions(8, 3);
    const row = (token: number) => [...table.subarray(8 * token, 8 * token + 8)];
    expect(row(0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    // Row 1, column 2, frequencies 1 and 1 / 100.
    const expected = [1, 0.01].map((w) => [Math.sin(w), Math.cos(w), Math.sin(2 * w), Math.cos(2 * w)]);
    const quarters = [0, 1, 2, 3].flatMap((i) => expected.map((values) => Math.fround(values[i]!)));
    expect(row(1 + 3 + 2)).toEqual(quarters);
  });
});
