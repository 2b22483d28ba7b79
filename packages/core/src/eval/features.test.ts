import { describe, expect, it } from 'vitest';
import type { Backend } from '../backend.ts';
import { defineEncoder, type Params } from '../encoder.ts';
import { mul, relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { reshape, slice, transpose } from '../graph/ops/shape.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { initHead } from '../ssl/head.ts';
import { filled, tensor } from '../tensor/tensor.ts';
import { createExtractor, encoderGraph, type OwnHead } from './features.ts';

const encoder = defineEncoder({
  name: 'test',
  inputShape: () => [3, 4, 4],
  featureDim: () => 5,
  init: (_, random) => {
    const params: Params = {};
    initConv(params, 'conv1', [5, 3, 3, 3], random);
    initBatchNorm(params, 'bn1', 5);
    params['bn1.running_mean'] = filled([5], 0.25);
    params['bn1.running_var'] = filled([5], 4);
    return params;
  },
  forward: (context, params, x) =>
    mean(relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x, { padding: 1 }))), [2, 3]),
});
const encoderConfig = { imageSize: 4 };
const random = (name: string) => rng(0, name);
const params = encoder.init(encoderConfig, random);
initHead(params, 5, { mlp: false, dim: 3 }, random);
const image = 48;
const images = Float32Array.from({ length: 5 * image }, rng(0, 'pictures').normal);

/** Counts what is compiled and run. */
function counting(): { backend: Backend; runs: number[] } {
  const runs: number[] = [];
  const backend: Backend = {
    name: 'oracle',
    device: 'cpu',
    capabilities: () => ({ training: false, inference: true, dtypes: ['float32'], lowering: 'none' }),
    compile: async (graph) => {
      let state = {};
      return {
        load: async (given) => {
          state = given;
        },
        run: async (feeds) => {
          runs.push(feeds.input!.shape[0]!);
          const outputs = Object.entries(interpret(graph, { ...state, ...feeds }));
          return Object.fromEntries(outputs.map(([name, { data, shape }]) => [name, tensor(data, shape)]));
        },
        read: async () => ({}),
        memory: { stateBytes: 0 },
        dispose: async () => {},
      };
    },
    dispose: async () => {},
  };
  return { backend, runs };
}

describe('the encoder as a graph', () => {
  it('reads the backbone alone where no head is asked for', () => {
    const names = (graph: ReturnType<typeof encoderGraph>) => graph.inputs.map(({ name }) => name);
    expect(names(encoderGraph({ encoder, encoderConfig }, params, 1))).toEqual([
      'input',
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
    ]);
    const withHead = encoderGraph({ encoder, encoderConfig, head: { mlp: false, dim: 3 } }, params, 1);
    expect(names(withHead).slice(-2)).toEqual(['fc.weight', 'fc.bias']);
  });
  it('uses the running statistics', () => {
    const graph = encoderGraph({ encoder, encoderConfig }, params, 2);
    expect(graph.nodes.some(({ op }) => op === 'batchNormInference')).toBe(true);
    expect(graph.nodes.some(({ op }) => op === 'batchNorm')).toBe(false);
  });
});

describe('createExtractor', () => {
  it('takes any number of images in chunks, each as it would be alone', async () => {
    const { backend, runs } = counting();
    const extractor = await createExtractor(backend, { encoder, encoderConfig }, params, 2);
    expect(extractor.dim).toBe(5);
    const all = await extractor.extract(images);
    expect(all).toHaveLength(5 * 5);
    expect(runs).toEqual([2, 2, 2]);
    const single = await createExtractor(backend, { encoder, encoderConfig }, params, 1);
    for (let i = 0; i < 5; i++) {
      const one = await single.extract(images.slice(i * image, (i + 1) * image));
      expect([...all.subarray(i * 5, (i + 1) * 5)]).toEqual([...one]);
    }
    expect(new Set(all).size).toBeGreaterThan(10);
  });
  it('takes other weights', async () => {
    const extractor = await createExtractor(counting().backend, { encoder, encoderConfig }, params, 5);
    const before = await extractor.extract(images);
    const others = encoder.init(encoderConfig, (name) => rng(1, name));
    await extractor.load(others);
    const fresh = await createExtractor(counting().backend, { encoder, encoderConfig }, others, 5);
    const after = await extractor.extract(images);
    expect(after).toEqual(await fresh.extract(images));
    expect(after).not.toEqual(before);
  });
  it('gives unit vectors with a head', async () => {
    const model = { encoder, encoderConfig, head: { mlp: false, dim: 3 } };
    const extractor = await createExtractor(counting().backend, model, params, 4);
    expect(extractor.dim).toBe(3);
    const vectors = await extractor.extract(images);
    for (let i = 0; i < 5; i++) expect(Math.hypot(...vectors.subarray(3 * i, 3 * i + 3))).toBeCloseTo(1, 6);
  });
  it('gives tokens, in chunks too, beside which the features stay the first output', async () => {
    const places = defineEncoder({
      ...encoder,
      tokens: (context, params, x) => {
        const map = relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x, { padding: 1 })));
        return transpose(reshape(map, [x.shape[0]!, 5, 16]), [0, 2, 1]);
      },
    });
    const model = { encoder: places, encoderConfig } as const;
    const { backend, runs } = counting();
    const extractor = await createExtractor(backend, { ...model, gives: 'tokens' }, params, 2);
    expect([extractor.rows, extractor.dim]).toEqual([16, 5]);
    const tokens = await extractor.extract(images);
    expect([tokens.length, runs]).toEqual([5 * 16 * 5, [2, 2, 2]]);
    const plain = await createExtractor(counting().backend, model, params, 2);
    const features = await plain.extract(images);
    // This encoder's features are the means of its tokens.
    features.forEach((value, i) => {
      const [image, channel] = [Math.floor(i / 5), i % 5];
      let sum = 0;
      for (let place = 0; place < 16; place++) sum += tokens[(image * 16 + place) * 5 + channel]!;
      expect(sum / 16).toBeCloseTo(value, 6);
    });
    const both = encoderGraph({ ...model, gives: 'both' }, params, 1);
    expect(both.outputs.map(({ name }) => name)).toEqual(['features', 'tokens']);
    // What both share is computed once.
    expect(both.nodes.filter(({ op }) => op === 'conv2d')).toHaveLength(1);
    expect(() => encoderGraph({ encoder, encoderConfig, gives: 'tokens' }, params, 1)).toThrow(
      "the encoder test gives no tokens, features of an image's places: leave tokens out",
    );
  });
  it("computes a method's own head, by its parameters and scaled to unit length", async () => {
    // The first two features, by factors: what a head that core does not know may do.
    const head: OwnHead = {
      dim: 2,
      project: (_, { 'fc.factors': factors }, features) =>
        mul(slice(features, [0, 0], [features.shape[0]!, 2]), factors!),
    };
    const own = { ...params, 'fc.factors': tensor([2, -3], [2]) };
    const extractor = await createExtractor(counting().backend, { encoder, encoderConfig, head }, own, 2);
    expect(extractor.dim).toBe(2);
    const projected = await extractor.extract(images);
    const plain = await createExtractor(counting().backend, { encoder, encoderConfig }, params, 2);
    const features = await plain.extract(images);
    for (let i = 0; i < 5; i++) {
      const [x, y] = [2 * features[5 * i]!, -3 * features[5 * i + 1]!];
      expect(projected[2 * i]).toBeCloseTo(x / Math.hypot(x, y), 6);
      expect(projected[2 * i + 1]).toBeCloseTo(y / Math.hypot(x, y), 6);
    }
  });
});
