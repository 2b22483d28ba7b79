import { expect, it } from 'vitest';
import { defineEncoder } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { type SimclrConfig, simclrState, simclrStep } from './simclr.ts';

const batch = 4;
const encoder = defineEncoder({
  name: 'one-convolution',
  inputShape: () => [3, 4, 4],
  featureDim: () => 5,
  init: (_, random) => {
    const params = {};
    initConv(params, 'conv1', [5, 3, 3, 3], random);
    initBatchNorm(params, 'bn1', 5);
    return params;
  },
  forward: (context, params, x) =>
    mean(relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x))), [2, 3]),
});
const base: SimclrConfig = {
  ...{ encoder, encoderConfig: { imageSize: 4 }, batch, bnSplits: 1, dim: 3, mlp: true, temperature: 0.5 },
  optimizer: sgd({ weightDecay: 0.5 }),
};

const view = (name: string) => {
  const random = rng(2, name);
  return { shape: [batch, 3, 4, 4], data: Float32Array.from({ length: batch * 48 }, random.normal) };
};

function run(config: SimclrConfig, xq = view('one'), xk = view('other')) {
  const state = simclrState(config, 1);
  const step = simclrStep(config, state);
  return {
    step,
    state,
    outputs: interpret(step.graph, { ...state, xq, xk, lr: { shape: [], data: [0.5] } }),
  };
}

// The losses, gradients and states of a whole run are compared with PyTorch's in methods.test.ts.
it.each([1, 2])('treats both views alike, in %i groups of normalisation', (bnSplits) => {
  const config = { ...base, bnSplits };
  const [there, back] = [run(config).outputs, run(config, view('other'), view('one')).outputs];
  for (const [name, { data }] of Object.entries(there))
    data.forEach((value, i) => {
      expect(back[name]!.data[i], name).toBeCloseTo(value, 12);
    });
});

it('has one encoder, whose whole state it writes', () => {
  const { step, state } = run(base);
  expect(Object.keys(state).every((name) => /^(q|opt\.momentum)\./.test(name))).toBe(true);
  expect(step.state.every(({ input, output }) => output === `next.${input}`)).toBe(true);
});

it('shows gradients where they are asked for', () => {
  expect([...run(base).step.metrics].sort()).toEqual(['acc1', 'acc5', 'featureStd', 'loss']);
  expect(run({ ...base, exposeGradients: true }).step.metrics).toContain('grad.conv1.weight');
});

it('leaves frozen parameters alone, decay included', () => {
  const { step, state } = run({ ...base, encoder: { ...encoder, frozen: () => ['conv1.weight'] } });
  expect(step.state.filter(({ output }) => !output).map(({ input }) => input)).toEqual(['q.conv1.weight']);
  expect(state).not.toHaveProperty(['opt.momentum.conv1.weight']);
});

it('refuses groups of one image', () => {
  expect(() => simclrStep({ ...base, bnSplits: 4 }, simclrState(base, 1))).toThrow(UserError);
});
