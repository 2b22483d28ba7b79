import { describe, expect, it } from 'vitest';
import { defineEncoder } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initConv } from '../nn/init.ts';
import { conv } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { under } from '../train/branch.ts';
import { type MocoV3Config, mocoV3Heads, mocoV3Projection, mocoV3State, mocoV3Step } from './moco-v3.ts';

const [batch, dim, hidden] = [4, 3, 7];
const encoder = defineEncoder({
  name: 'one-convolution',
  inputShape: () => [3, 4, 4],
  featureDim: () => 5,
  init: (_, random) => {
    const params = {};
    initConv(params, 'conv1', [5, 3, 3, 3], random);
    return params;
  },
  forward: (_, params, x) => mean(conv(params, 'conv1', x), [2, 3]),
});
const base: MocoV3Config = {
  ...{ encoder, encoderConfig: { imageSize: 4 }, batch, bnSplits: 1, hidden, dim, temperature: 0.5 },
  ...{ optimizer: sgd(), exposeGradients: true, ...mocoV3Heads.vit },
};

function run(config: MocoV3Config) {
  const state = mocoV3State(config, 1);
  const step = mocoV3Step(config, state);
  const image = (name: string) => {
    const random = rng(2, name);
    return { shape: [batch, 3, 4, 4], data: Float32Array.from({ length: batch * 48 }, random.normal) };
  };
  const scalars = { momentum: { shape: [], data: [0.75] }, lr: { shape: [], data: [0.5] } };
  return {
    state,
    step,
    outputs: interpret(step.graph, { ...state, xq: image('q'), xk: image('k'), ...scalars }),
  };
}

const shapes = (kind: 'vit' | 'resnet') =>
  Object.fromEntries(
    Object.entries(mocoV3State({ ...base, ...mocoV3Heads[kind] }, 1))
      .filter(([name]) => /^(q\.fc|predictor)\./.test(name) && !name.includes('running'))
      .map(([name, { shape }]) => [name, shape]),
  );

describe('the state', () => {
  it('has for a ViT three and two layers, all normalised, the last without scale and shift', () => {
    expect(shapes('vit')).toEqual({
      'q.fc.0.weight': [hidden, 5],
      'q.fc.1.weight': [hidden],
      'q.fc.1.bias': [hidden],
      'q.fc.3.weight': [hidden, hidden],
      'q.fc.4.weight': [hidden],
      'q.fc.4.bias': [hidden],
      'q.fc.6.weight': [dim, hidden],
      'predictor.0.weight': [hidden, dim],
      'predictor.1.weight': [hidden],
      'predictor.1.bias': [hidden],
      'predictor.3.weight': [dim, hidden],
    });
    expect(mocoV3State(base, 1)).toHaveProperty(['predictor.4.running_var']);
  });
  it("has for a ResNet two and two, the predictor's output not normalised", () => {
    expect(Object.keys(shapes('resnet')).filter((name) => name.endsWith('weight'))).toEqual(
      ['q.fc.0', 'q.fc.1', 'q.fc.3', 'predictor.0', 'predictor.1', 'predictor.3'].map((n) => `${n}.weight`),
    );
    const state = mocoV3State({ ...base, ...mocoV3Heads.resnet }, 1);
    expect(state).toHaveProperty(['q.fc.4.running_var']);
    expect(state).not.toHaveProperty(['predictor.4.running_var']);
  });
  it('gives the key encoder the projector, but no predictor', () => {
    const state = mocoV3State(base, 1);
    expect(under('k', state)).toEqual(under('q', state));
    expect(Object.keys(under('q', state)).some((name) => name.startsWith('predictor'))).toBe(false);
  });
});

it("a trained encoder's projector is told by its widths", () => {
  expect(mocoV3Projection('vit', 5, { hidden, dim })).toEqual({
    ...{ layers: 3, inputs: 5, hidden, outputs: dim, lastNorm: true },
  });
  expect(mocoV3Projection('resnet', 5, { hidden, dim }).layers).toBe(2);
});

describe('the step', () => {
  it('shows gradients where they are asked for', () => {
    const { exposeGradients: _, ...silent } = base;
    expect([...run(silent).step.metrics].sort()).toEqual(['acc1', 'acc5', 'featureStd', 'loss']);
  });
  it('writes all of the state', () => {
    const { step } = run(base);
    expect(step.state.every(({ input, output }) => output === `next.${input}`)).toBe(true);
  });
  it('leaves frozen parameters alone in both encoders, and keeps no slot for them', () => {
    const { state, step, outputs } = run({
      ...base,
      encoder: { ...encoder, frozen: () => ['conv1.weight'] },
    });
    const still = step.state.filter(({ output }) => output === undefined).map(({ input }) => input);
    expect(still).toEqual(['q.conv1.weight', 'k.conv1.weight']);
    expect(outputs).not.toHaveProperty(['grad.conv1.weight']);
    expect(state).not.toHaveProperty(['opt.momentum.conv1.weight']);
    const all = run(base).outputs;
    expect([...outputs['grad.fc.0.weight']!.data]).toEqual([...all['grad.fc.0.weight']!.data]);
  });
});

describe('settings that can not work', () => {
  it('groups that do not divide the batch', () => {
    const step = () => mocoV3Step({ ...base, bnSplits: 3 }, mocoV3State(base, 1));
    expect(step).toThrow(UserError);
    expect(step).toThrow(/a batch of 4 can't be normalised in 3 groups/);
  });
});
