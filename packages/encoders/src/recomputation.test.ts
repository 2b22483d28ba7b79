/** Training with activations computed again: every method with both families of encoders in the oracle, and what it saves. */
import {
  type Encoder,
  type EncoderConfig,
  type Feed,
  type Graph,
  instDiscState,
  instDiscStep,
  interpret,
  mocoState,
  mocoStep,
  mocoV3Heads,
  mocoV3State,
  mocoV3Step,
  rng,
  type StateTypes,
  sgd,
  simclrState,
  simclrStep,
  sizeOf,
  type Tensor,
  type TrainingStep,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { resnet50, vit_small } from './archs.ts';
import { defineResnet } from './resnet.ts';
import { defineVit } from './vit.ts';

interface Net {
  readonly encoder: Encoder;
  readonly encoderConfig: EncoderConfig;
}
const nets: Readonly<Record<string, Net>> = {
  resnet: {
    encoder: defineResnet({ name: 'r', block: 'bottleneck', depths: [1, 1, 1, 1], width: 4, stem: 'small' }),
    encoderConfig: { imageSize: 16 },
  },
  vit: {
    encoder: defineVit({ name: 'v', dim: 8, depth: 3, heads: 2 }),
    encoderConfig: { imageSize: 16, patchSize: 8 },
  },
  'vit with a convolutional stem': {
    encoder: defineVit({ name: 'c', dim: 8, depth: 2, heads: 2, stem: 'conv' }),
    encoderConfig: { imageSize: 16, patchSize: 4 },
  },
};

const [batch, dim, queueSize] = [4, 4, 8];

/** A method's first state, and its step. */
type Method = (
  net: Net,
  more: { readonly checkpointActivations: boolean },
) => {
  readonly state: Record<string, Tensor>;
  step(types: StateTypes): TrainingStep;
};
const shared = { batch, dim, temperature: 0.2, bnSplits: 1, mlp: true, optimizer: sgd({ momentum: 0.9 }) };
const queue = { queueSize, momentum: 0.9, symmetric: false, shuffle: false };
const methods: Readonly<Record<string, Method>> = {
  'MoCo v1': (net, more) => moco({ ...shared, ...queue, ...net, ...more, mlp: false }),
  'MoCo v2, symmetric': (net, more) =>
    moco({ ...shared, ...queue, ...net, ...more, bnSplits: 2, shuffle: true, symmetric: true }),
  'MoCo v3': (net, more) => {
    const config = { ...shared, ...mocoV3Heads.vit, ...net, ...more, hidden: 6 };
    return { state: mocoV3State(config, 1), step: (types) => mocoV3Step(config, types) };
  },
  SimCLR: (net, more) => {
    const config = { ...shared, ...net, ...more };
    return { state: simclrState(config, 1), step: (types) => simclrStep(config, types) };
  },
  InstDisc: (net, more) => {
    const bank = { slots: 8, negatives: 5, draw: 'image', loss: 'nce', bankMomentum: 0.5 } as const;
    const config = { ...shared, ...bank, ...net, ...more };
    return { state: instDiscState(config, 1), step: (types) => instDiscStep(config, types) };
  },
};
function moco(config: Parameters<typeof mocoState>[0]): ReturnType<Method> {
  return { state: mocoState(config, 1), step: (types) => mocoStep(config, types) };
}

/** Random numbers for what the state doesn't give. */
function feedsOf({ graph, optimizer }: TrainingStep, state: Readonly<Record<string, Feed>>) {
  const scalars: Readonly<Record<string, number>> = { ...optimizer.scalars(0.1, 0), momentum: 0.9 };
  const fed = graph.inputs.filter(({ name }) => !(name in state));
  return Object.fromEntries(
    fed.map(({ name, value }): [string, Feed] => {
      const { shape, dtype } = graph.values[value]!;
      const random = rng(0, `feeds/${name}`);
      const draw = () => (dtype === 'int32' ? random.integer(8) : random.normal());
      const own = scalars[name];
      const data = own === undefined ? Array.from({ length: sizeOf(shape) }, draw) : [own];
      if (name === 'perm' || name === 'index') return [name, { shape, data: random.permutation(batch) }];
      return [name, { shape, data }];
    }),
  );
}

describe.each(Object.keys(methods))('%s with activations computed again', (method) => {
  it.each(Object.keys(nets))('steps to the same bits with a %s', (name) => {
    const run = (checkpointActivations: boolean) => {
      const { state, step: trace } = methods[method]!(nets[name]!, { checkpointActivations });
      const step = trace(state);
      const outputs = interpret(step.graph, { ...state, ...feedsOf(step, state) });
      return { step, outputs };
    };
    const [kept, again] = [run(false), run(true)];
    expect(Object.keys(again.outputs)).toEqual(Object.keys(kept.outputs));
    for (const [output, { data }] of Object.entries(kept.outputs))
      expect(again.outputs[output]!.data, output).toEqual(data);
    const barriers = ({ step }: typeof kept) => step.graph.nodes.filter(({ op }) => op === 'barrier').length;
    expect(barriers(kept)).toBe(0);
    expect(barriers(again)).toBeGreaterThan(0);
  });
});

/** The most bytes that values other than inputs and results hold at once, node by node; views hold none of their own. */
function peak({ values, nodes, inputs, outputs }: Graph): number {
  const roots = new Map<number, number>();
  const root = (id: number) => roots.get(id) ?? id;
  const lasts = new Map<number, number>();
  nodes.forEach(({ op, inputs: read, outputs: made }, at) => {
    if (op === 'reshape' || op === 'barrier') roots.set(made[0]!, root(read[0]!));
    for (const id of [...read, ...made]) lasts.set(root(id), at);
  });
  const outside = new Set([...inputs, ...outputs].map(({ value }) => root(value)));
  const freed = new Map<number, number>();
  for (const [id, at] of lasts)
    if (!outside.has(id)) freed.set(at, (freed.get(at) ?? 0) + sizeOf(values[id]!.shape));
  let [held, most] = [0, 0];
  nodes.forEach(({ outputs: made }, at) => {
    for (const id of made) if (root(id) === id && !outside.has(id)) held += sizeOf(values[id]!.shape);
    most = Math.max(most, held);
    held -= freed.get(at) ?? 0;
  });
  expect(held).toBe(0);
  return most;
}

it.each([
  // A narrow network has the same shares: all maps are as many times smaller.
  ['ResNet-50', { encoder: resnet50, encoderConfig: { imageSize: 224, width: 8 } }],
  ['ViT-Small', { encoder: vit_small, encoderConfig: { imageSize: 224 } }],
] as const)('%s at 224 px needs less than two thirds of the memory for a step', (_, net) => {
  const peaks = [false, true].map((checkpointActivations) => {
    const config = { ...shared, ...queue, ...net, checkpointActivations } as Parameters<typeof mocoState>[0];
    return peak(
      mocoStep({ ...config, batch: 8, queueSize: 64 }, mocoState({ ...config, queueSize: 64 }, 1)).graph,
    );
  });
  expect(peaks[1]! / peaks[0]!).toBeLessThan(2 / 3);
});
