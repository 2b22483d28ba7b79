/// <reference types="node" />
/** Against torchvision, by the fixture that parity/names.py makes. */
import { readFileSync } from 'node:fs';
import {
  type Encoder,
  type EncoderConfig,
  encoderGraph,
  encoderNamed,
  encoderNames,
  interpret,
  isBuffer,
  noRandom,
  type Params,
  rng,
  sizeOf,
  tensor,
  trace,
  UserError,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import {
  registerEncoders,
  resnet18,
  resnet50,
  resnetMicro,
  resnetMini,
  resnetTiny,
  resnext50_32x4d,
} from './index.ts';

interface Fixture {
  readonly archs: Record<string, Record<string, number | number[]>>;
  readonly parameters: Record<string, number>;
  readonly features: Record<string, { seed: number; pixels: number; values: number[] }>;
}
const fixturePath = new URL('../../../parity/fixtures/state-dicts.json', import.meta.url);
const fixture: Fixture = JSON.parse(readFileSync(fixturePath, 'utf8'));

registerEncoders();
const random = (seed: number) => (name: string) => rng(seed, `init/${name}`);
const shapesOf = (encoder: Encoder, config: EncoderConfig = { imageSize: 224 }) =>
  encoder.init(config, noRandom);

/** torchvision's state_dict written out from its compact form, as [name, shape] in order. */
function stateDict(arch: string): [string, number[]][] {
  return Object.entries(fixture.archs[arch]!).flatMap(([name, shape]): [string, number[]][] =>
    typeof shape === 'number'
      ? ['weight', 'bias', 'running_mean', 'running_var'].map((part) => [`${name}.${part}`, [shape]])
      : [[name, shape]],
  );
}

function run(encoder: Encoder, config: EncoderConfig, params: Params, batch: number, training = false) {
  const updates = new Map();
  return trace((builder) => {
    const x = builder.input('x', [batch, ...encoder.inputShape(config)]);
    const traced = Object.fromEntries(
      Object.entries(params).map(([name, { shape }]) => [name, builder.input(name, shape)]),
    );
    const context = { config, training, normalization: { splits: 1 }, updates };
    return { y: encoder.forward(context, traced, x), ...Object.fromEntries(updates) };
  });
}

describe.each(Object.keys(fixture.archs))('%s', (arch) => {
  const encoder = encoderNamed(arch);
  const params = shapesOf(encoder);

  it("has torchvision's names and shapes, in its order", () => {
    expect(Object.entries(params).map(([name, { shape }]) => [name, [...shape]])).toEqual(stateDict(arch));
  });
  it("has torchvision's number of parameters", () => {
    const sizes = Object.entries(params).map(([name, { shape }]) => (isBuffer(name) ? 0 : sizeOf(shape)));
    expect(sizes.reduce((a, b) => a + b)).toBe(fixture.parameters[arch]);
  });
  it.each([224, 33])('maps images of %i pixels to features', (imageSize) => {
    const config = { imageSize };
    const graph = run(encoder, config, params, 2);
    const wide = /resnet(18|34)$/.test(arch) ? 512 : 2048;
    expect(encoder.featureDim(config)).toBe(wide);
    expect(graph.values[graph.outputs[0]!.value]!.shape).toEqual([2, wide]);
  });
  it('reads every parameter, and gives new values of every buffer in training', () => {
    const graph = run(encoder, { imageSize: 32 }, params, 2, true);
    const read = new Set(graph.nodes.flatMap((node) => node.inputs));
    expect(graph.inputs.filter((port) => !read.has(port.value))).toEqual([]);
    const buffers = Object.keys(params).filter(isBuffer);
    const outputs = graph.outputs.map((port) => port.name).filter((name) => name !== 'y');
    expect(outputs.sort()).toEqual(buffers.sort());
  });
});

describe('features', () => {
  it.each(Object.entries(fixture.features))("%s gives PyTorch's", (arch, { seed, pixels, values }) => {
    const encoder = encoderNamed(arch);
    const config = { imageSize: pixels };
    const params = encoder.init(config, random(seed));
    const stream = rng(seed, 'picture');
    const x = {
      shape: [1, 3, pixels, pixels],
      data: Float32Array.from({ length: 3 * pixels ** 2 }, stream.normal),
    };
    const y = interpret(run(encoder, config, params, 1), { x, ...params }).y!.data.subarray(0, values.length);
    const largest = Math.max(...values.map(Math.abs));
    // Both sides compute in float64 from float32 weights, which the two generators may round apart in the last bit.
    values.forEach((value, i) => {
      expect(Math.abs(y[i]! - value) / largest).toBeLessThan(1e-6);
    });
  });
});

describe('stems', () => {
  const stemOf = (encoder: Encoder, config: EncoderConfig) => {
    const graph = run(encoder, config, shapesOf(encoder, config), 1);
    const first = graph.nodes[0]!;
    const filter = graph.values[first.inputs[1]!]!.shape.slice(2);
    const { stride, padding } = first.attrs;
    return { filter, stride, padding, pools: graph.nodes.filter((node) => node.op === 'maxPool2d').length };
  };
  it('follow the configuration', () => {
    const imagenet = { filter: [7, 7], stride: 2, padding: 3, pools: 1 };
    const cifar = { filter: [3, 3], stride: 1, padding: 1, pools: 0 };
    expect(stemOf(resnet18, { imageSize: 64 })).toEqual(imagenet);
    expect(stemOf(resnet18, { imageSize: 64, stem: 'imagenet' })).toEqual(imagenet);
    expect(stemOf(resnet50, { imageSize: 32, stem: 'cifar' })).toEqual(cifar);
    expect(stemOf(resnetTiny, { imageSize: 32 })).toEqual({ ...cifar, stride: 2 });
    expect(stemOf(resnetTiny, { imageSize: 32, stem: 'cifar' })).toEqual(cifar);
  });
  it('must be known', () => {
    const config = { imageSize: 32, stem: 'tiny' } as unknown as EncoderConfig;
    expect(() => resnet18.init(config, random(0))).toThrow(UserError);
    expect(() => resnet18.init(config, random(0))).toThrow(/no stem "tiny".*cifar, imagenet|imagenet, cifar/);
  });
});

describe('resnet-tiny', () => {
  it('has four basic blocks of 32-64-128-256 channels', () => {
    const shapes = Object.entries(shapesOf(resnetTiny, { imageSize: 32 }));
    const convs = shapes.filter(([, { shape }]) => shape.length === 4);
    expect(convs.map(([name, { shape }]) => `${name} ${shape.join('x')}`)).toEqual([
      'conv1.weight 32x3x3x3',
      'layer1.0.conv1.weight 32x32x3x3',
      'layer1.0.conv2.weight 32x32x3x3',
      'layer2.0.conv1.weight 64x32x3x3',
      'layer2.0.conv2.weight 64x64x3x3',
      'layer2.0.downsample.0.weight 64x32x1x1',
      'layer3.0.conv1.weight 128x64x3x3',
      'layer3.0.conv2.weight 128x128x3x3',
      'layer3.0.downsample.0.weight 128x64x1x1',
      'layer4.0.conv1.weight 256x128x3x3',
      'layer4.0.conv2.weight 256x256x3x3',
      'layer4.0.downsample.0.weight 256x128x1x1',
    ]);
    expect(resnetTiny.featureDim({ imageSize: 32 })).toBe(256);
  });
  it('halves the map at the stem and at each later stage', () => {
    const config = { imageSize: 32 };
    const graph = run(resnetTiny, config, shapesOf(resnetTiny, config), 1);
    const maps = graph.nodes
      .filter((node) => node.op === 'relu')
      .map((node) => graph.values[node.outputs[0]!]!);
    expect(maps.map(({ shape }) => shape[2])).toEqual([16, 16, 16, 8, 8, 4, 4, 2, 2]);
  });
  it('is four times as wide as resnet-micro', () => {
    const wide = shapesOf(resnetTiny, { imageSize: 32 });
    const narrow = shapesOf(resnetMicro, { imageSize: 32 });
    expect(Object.keys(narrow)).toEqual(Object.keys(wide));
    for (const [name, { shape }] of Object.entries(narrow))
      expect(shape.map((extent, axis) => (axis > 1 || extent === 3 ? extent : 4 * extent))).toEqual(
        wide[name]!.shape,
      );
  });
});

describe('resnet-mini', () => {
  it("has resnet-tiny's first three stages", () => {
    const config = { imageSize: 32 };
    const whole = Object.entries(shapesOf(resnetTiny, config));
    const stages = whole.filter(([name]) => !name.startsWith('layer4'));
    expect(shapesOf(resnetMini, config)).toEqual(Object.fromEntries(stages));
  });
  it('has as many features for every size of image', () => {
    for (const imageSize of [1, 24, 32, 224]) {
      const config = { imageSize };
      const graph = run(resnetMini, config, shapesOf(resnetMini, config), 2);
      expect(resnetMini.featureDim(config)).toBe(4 * 128);
      expect(graph.values[graph.outputs[0]!.value]!.shape).toEqual([2, 4 * 128]);
    }
  });
});

describe('width', () => {
  it('scales every stage', () => {
    const narrow = { imageSize: 32, width: 16 };
    expect(resnetTiny.featureDim(narrow)).toBe(128);
    expect(resnet50.featureDim(narrow)).toBe(512);
    expect(shapesOf(resnet50, narrow)['layer3.1.conv2.weight']!.shape).toEqual([64, 64, 3, 3]);
    const graph = run(resnext50_32x4d, narrow, shapesOf(resnext50_32x4d, narrow), 2);
    expect(graph.values[graph.outputs[0]!.value]!.shape).toEqual([2, 512]);
  });
  it('must fit the groups', () => {
    const wrong = (encoder: Encoder, width: number) => () => encoder.featureDim({ imageSize: 32, width });
    expect(wrong(resnet18, 0)).toThrow(UserError);
    expect(wrong(resnet18, 2.5)).toThrow(/width 2.5/);
    expect(wrong(resnext50_32x4d, 24)).toThrow(/width 24 should be a positive multiple of 16/);
  });
});

describe('initialisation', () => {
  const params = resnet18.init({ imageSize: 32, stem: 'cifar' }, random(0));
  it('draws convolutions from N(0, 2 / fan-out)', () => {
    for (const [name, { shape, data }] of Object.entries(params)) {
      if (shape.length !== 4) continue;
      const expected = Math.sqrt(2 / (shape[0]! * shape[2]! * shape[3]!));
      let mean = 0;
      let square = 0;
      for (const x of data) {
        mean += x / data.length;
        square += x ** 2 / data.length;
      }
      const deviation = Math.sqrt(square - mean ** 2);
      // Five standard errors of each estimate.
      expect(Math.abs(mean), name).toBeLessThan((5 * expected) / Math.sqrt(data.length));
      expect(Math.abs(deviation / expected - 1), name).toBeLessThan(5 / Math.sqrt(2 * data.length));
    }
  });
  it('starts batch normalisation at 1 and 0, the last of each block too', () => {
    for (const [name, { shape, data }] of Object.entries(params)) {
      if (shape.length === 4) continue;
      const value = name.endsWith('.weight') || name.endsWith('.running_var') ? 1 : 0;
      expect(
        data.every((x) => x === value),
        name,
      ).toBe(true);
    }
  });
  it('depends on the seed and on the name alone', () => {
    const again = resnet18.init({ imageSize: 64 }, random(0))['layer1.0.conv1.weight']!;
    expect(again.data).toEqual(params['layer1.0.conv1.weight']!.data);
    expect(again.data).not.toEqual(params['layer1.0.conv2.weight']!.data);
  });
});

it('registers every encoder by its name', () => {
  // torchvision's are in the fixture; those of timm's names are held to its features in vit-traits.test.ts.
  const transformers = ['tiny', 'small', 'base', 'large', 'conv_small', 'conv_base'].map(
    (size) => `vit_${size}`,
  );
  expect(encoderNames().filter((name) => !/_patch\d/.test(name))).toEqual(
    [...Object.keys(fixture.archs), 'resnet-micro', 'resnet-mini', 'resnet-tiny', ...transformers].sort(),
  );
});

it('gives the positions of its last map as tokens, row by row', () => {
  const encoderConfig = { imageSize: 32 };
  const params = resnetMicro.init(encoderConfig, random(4));
  const graph = encoderGraph({ encoder: resnetMicro, encoderConfig, gives: 'both' }, params, 2);
  // The features are the means of the map.
  const map = graph.nodes.find(({ op }) => op === 'mean')!.inputs[0]!;
  const stream = rng(4, 'image');
  const input = tensor(
    Float32Array.from({ length: 2 * 3 * 32 * 32 }, () => stream.normal()),
    [2, 3, 32, 32],
  );
  const withMap = { ...graph, outputs: [...graph.outputs, { name: 'map', value: map }] };
  const outputs = interpret(withMap, { ...params, input });
  const [count, channels, height, width] = outputs.map!.shape as [number, number, number, number];
  expect([height, width]).toEqual([2, 2]);
  expect(outputs.tokens!.shape).toEqual([count, height * width, channels]);
  outputs.tokens!.data.forEach((value, i) => {
    const [place, channel] = [Math.floor(i / channels), i % channels];
    const [image, at] = [Math.floor(place / 4), place % 4];
    expect(value).toBe(outputs.map!.data[(image * channels + channel) * 4 + at]);
  });
});
