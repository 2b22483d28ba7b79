/// <reference types="node" />
/** The traits of DeiT, DINOv2 and CLIP against timm's models in float64: the fixture that parity/vit_traits.py makes. */
import { readFileSync } from 'node:fs';
import { encoderGraph, interpret, noRandom, rng, sizeOf, type Tensor } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { builtInEncoders, defineVit, type VitSpec } from './index.ts';

type Shapes = Readonly<Record<string, readonly number[]>>;
interface Fixture {
  readonly seed: number;
  readonly batch: number;
  readonly side: number;
  readonly patch: number;
  readonly dim: number;
  readonly features: Readonly<Record<string, readonly number[]>>;
  /** Behind class token and registers. */
  readonly tokens: Readonly<Record<string, readonly number[]>>;
  readonly read: Readonly<Record<string, { readonly depth: number; readonly shapes: Shapes }>>;
}
const path = new URL('../../../parity/fixtures/vit-traits.json', import.meta.url);
const { seed, batch, side, patch, dim, ...expected }: Fixture = JSON.parse(readFileSync(path, 'utf8'));
/** parity/vit_traits.py's float32 values. */
function uniform(purpose: string, shape: readonly number[], low: number, high: number): Tensor {
  const stream = rng(seed, `vit-traits/${purpose}`);
  const data = Float32Array.from({ length: sizeOf(shape) }, () => stream.uniform(low, high));
  return { shape, dtype: 'float32', data };
}
const weight = (name: string, shape: readonly number[]) =>
  /(norm1\.weight|norm\.weight|gamma)$/.test(name)
    ? uniform(name, shape, 0.5, 1.5)
    : uniform(name, shape, -0.5, 0.5);

const clip = { positions: 'learned', preNorm: true, epsilon: 1e-5 } as const;
const cases: Readonly<Record<string, Partial<VitSpec>>> = {
  deit: { positions: 'learned' },
  dinov2: { positions: 'learned', layerScale: true },
  'dinov2-registers': { positions: 'learned-patches', layerScale: true, registers: 4 },
  clip,
  'clip-quick': { ...clip, activation: 'quick-gelu' },
};

it.each(Object.keys(cases))("%s has timm's features and tokens", (name) => {
  const encoder = defineVit({ name, dim, depth: 2, heads: 4, patchSize: patch, ...cases[name]! });
  const encoderConfig = { imageSize: side };
  const params = Object.fromEntries(
    Object.entries(encoder.init(encoderConfig, noRandom)).map(([key, { shape }]) => [
      key,
      weight(key, shape),
    ]),
  );
  const graph = encoderGraph({ encoder, encoderConfig, gives: 'both' }, params, batch);
  const input = uniform('image', [batch, 3, side, side], -2, 2);
  const outputs = interpret(graph, { ...params, input });
  expect(outputs.tokens!.shape).toEqual([batch, (side / patch) ** 2, dim]);
  for (const output of ['features', 'tokens'] as const) {
    const [{ data }, wanted] = [outputs[output]!, expected[output][name]!];
    expect(data).toHaveLength(wanted.length);
    // Both sides compute in float64 from the same bits; but constants, as the 1.702 of the quick GELU, are float32 here.
    wanted.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, name === 'clip-quick' ? 7 : 9);
    });
  }
});

/** One of each kind: the others differ in size alone, and drawing large weights takes long. */
const smallest = /^(deit_tiny|vit_small_patch14|vit_base_patch16_clip_224)/;
const kinds = Object.entries(expected.read).filter(([name]) => smallest.test(name));

describe.each(kinds)('%s', (name, { depth, shapes }) => {
  it("has timm's names and shapes", () => {
    const encoder = builtInEncoders.find((known) => known.name === name)!;
    const imageSize = name.includes('dinov2') ? 518 : 224;
    const actual = Object.entries(encoder.init({ imageSize }, noRandom)).map(([key, { shape }]) => [
      key,
      [...shape],
    ]);
    const wanted = Object.entries(shapes)
      .filter(([key]) => !key.startsWith('head.'))
      .flatMap(([key, shape]) =>
        key.startsWith('blocks.0.')
          ? Array.from({ length: depth }, (_, i) => [key.replace('blocks.0.', `blocks.${i}.`), shape])
          : [[key, shape]],
      );
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries(wanted));
  });
});
