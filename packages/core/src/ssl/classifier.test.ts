import { describe, expect, it } from 'vitest';
import { defineEncoder, type Params } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { portType } from '../graph/graph.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { interpret } from '../reference/interpreter.ts';
import { tensor } from '../tensor/tensor.ts';
import {
  type ClassifierConfig,
  classifierState,
  classifierStep,
  featureEncoder,
  initClassifier,
} from './classifier.ts';

/** A convolution of 1x1, batch normalisation, ReLU and the mean: [N, 1, 2, 2] to [N, 2]. */
const encoder = defineEncoder({
  name: 'one-channel',
  inputShape: () => [1, 2, 2],
  featureDim: () => 2,
  init: () => ({}),
  forward: (context, params, x) =>
    mean(relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x))), [2, 3]),
});
const backbone: Params = {
  'conv1.weight': tensor([2, -1], [2, 1, 1, 1]),
  'bn1.weight': tensor([1, 0.5], [2]),
  'bn1.bias': tensor([0.25, -0.5], [2]),
  'bn1.running_mean': tensor([0.5, -1], [2]),
  'bn1.running_var': tensor([2, 4], [2]),
  // A head of its own training, which a classifier replaces.
  'fc.weight': tensor([7, 7, 7, 7, 7, 7], [3, 2]),
  'fc.0.weight': tensor([7, 7, 7, 7], [2, 2]),
};
const base: ClassifierConfig = {
  ...{ encoder, encoderConfig: { imageSize: 2 }, batch: 4, bnSplits: 1, classes: 2, train: 'linear' },
  ...{ optimizer: sgd(), exposeGradients: true },
};
const fc = { 'q.fc.weight': tensor([0.25, -0.5, 0.5, 0.75], [2, 2]), 'q.fc.bias': tensor([0.5, 0], [2]) };
const images = tensor([1, 2, 3, -1, 0, 0.5, -2, 1, 2, 2, -1, 0, -3, 1, 0.25, 4], [4, 1, 2, 2]);

function run(more: Partial<ClassifierConfig> = {}) {
  const config = { ...base, ...more };
  const state = { ...classifierState(config, 1, backbone), ...fc };
  const step = classifierStep(config, state);
  const label = tensor([1, 0, 1, 1], [4], 'int32');
  return {
    state,
    step,
    outputs: interpret(step.graph, { ...state, x: images, label, lr: tensor([0.5], []) }),
  };
}

/** Constants, such as epsilon, are rounded to float32. */
function expectNear(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 6);
  });
}

describe('the state', () => {
  it('starts the classifier as the linear probe: normal by .01, without bias, anew for each seed', () => {
    const { 'fc.weight': weight, 'fc.bias': bias } = initClassifier(100, 50, 3);
    expect(weight!.shape).toEqual([50, 100]);
    const { data } = weight!;
    const squares = Array.from(data).reduce((sum, x) => sum + x * x, 0);
    // 5000 draws: five deviations of their mean square.
    expect(Math.abs(squares / 5000 / 1e-4 - 1)).toBeLessThan(5 * Math.sqrt(2 / 5000));
    expect([...bias!.data]).toEqual(Array(50).fill(0));
    expect(initClassifier(100, 50, 3)).toEqual({ 'fc.weight': weight, 'fc.bias': bias });
    expect(initClassifier(100, 50, 4)['fc.weight']).not.toEqual(weight);
  });
  it("replaces the backbone's head, and has slots for what is trained", () => {
    const names = Object.keys(classifierState(base, 1, backbone));
    const kept = ['conv1.weight', 'bn1.weight', 'bn1.bias', 'bn1.running_mean', 'bn1.running_var'];
    const trained = ['fc.weight', 'fc.bias'];
    expect(names.sort()).toEqual(
      [
        ...[...kept, ...trained].map((name) => `q.${name}`),
        ...trained.map((name) => `opt.momentum.${name}`),
      ].sort(),
    );
    const all = Object.keys(classifierState({ ...base, train: 'all' }, 1, backbone));
    expect(all.filter((name) => name.startsWith('opt.')).sort()).toEqual(
      [...kept.slice(0, 3), ...trained].map((name) => `opt.momentum.${name}`).sort(),
    );
    expect(classifierState(base, 1, backbone)['q.fc.weight']!.shape).toEqual([2, 2]);
  });
  it('has two classes or more', () => {
    expect(() => classifierState({ ...base, classes: 1 }, 1, backbone)).toThrow(UserError);
    expect(() => classifierState({ ...base, classes: 1 }, 1, backbone)).toThrow(/classifier of 1 classes/);
    expect(() => classifierState({ ...base, classes: Number.NaN }, 1, backbone)).toThrow(UserError);
    expect(() => classifierState(base, 1, backbone)).not.toThrow();
  });
});

// Losses, logits and gradients by PyTorch 2.15 in float64.
describe('a linear step', () => {
  const { step, outputs } = run();
  it('sees features in evaluation mode', () => {
    expectNear(outputs.loss!.data, [0.6652769461904442]);
    // Pairs of logits 1.01 1.02, .59 .29, .84 .68 and .88 .98: the third is on the wrong side.
    expect(outputs.acc1!.data[0]).toBe(75);
    expect(outputs.acc5!.data[0]).toBe(100);
  });
  it('tells the encoder its settings, and that it is not in training', () => {
    const seen: unknown[] = [];
    const watched = defineEncoder({
      ...encoder,
      forward: (context, params, x) => {
        seen.push(context);
        return encoder.forward(context, params, x);
      },
    });
    run({ encoder: watched });
    expect(seen).toMatchObject([{ config: { imageSize: 2 }, training: false, normalization: { splits: 1 } }]);
  });
  it('trains the classifier and nothing else', () => {
    const changed = step.state.filter(({ output }) => output).map(({ input }) => input);
    expect(changed.sort()).toEqual(
      ['q.fc.weight', 'q.fc.bias', 'opt.momentum.fc.weight', 'opt.momentum.fc.bias'].sort(),
    );
    expect([...step.metrics].sort()).toEqual(['acc1', 'acc5', 'grad.fc.bias', 'grad.fc.weight', 'loss']);
  });
  it('takes labels as integers', () => {
    const { graph } = step;
    expect(portType(graph, graph.inputs, 'label')).toEqual({ shape: [4], dtype: 'int32' });
  });
  it('shows gradients where they are asked for', () => {
    const { exposeGradients: _, ...silent } = base;
    expect(classifierStep(silent, classifierState(silent, 1, backbone)).metrics).toHaveLength(3);
  });
});

describe('a step of the whole', () => {
  const { step, outputs } = run({ train: 'all' });
  it('normalises by the batch and follows it', () => {
    expectNear(outputs.loss!.data, [0.7629770610420399]);
    expectNear(outputs['next.q.bn1.running_mean']!.data, [0.571875, -0.9609375]);
    expectNear(outputs['next.q.bn1.running_var']!.data, [3.1165625, 3.929140625]);
  });
  it('trains everything', () => {
    expectNear(outputs['grad.bn1.weight']!.data, [-0.05145924941649802, -0.03988175315743677]);
    expectNear(outputs['grad.bn1.bias']!.data, [-0.05817761012307021, -0.010634184637766116]);
    expectNear(
      outputs['grad.fc.weight']!.data,
      [0.2640146077890623, 0.011699027407868262, -0.2640146077890623, -0.01169902740786826],
    );
    expectNear(outputs['grad.fc.bias']!.data, [0.32577886115162324, -0.32577886115162324]);
    expect(step.state.every(({ output }) => output)).toBe(true);
  });
  it("leaves the encoder's own frozen parameters alone", () => {
    const frozen = { train: 'all' as const, encoder: { ...encoder, frozen: () => ['conv1.weight'] } };
    const still = run(frozen).step.state.filter(({ output }) => !output);
    expect(still.map(({ input }) => input)).toEqual(['q.conv1.weight']);
  });
});

describe('a classifier on features', () => {
  it('is softmax regression', () => {
    const config = { ...base, encoder: featureEncoder(2), batch: 3, classes: 3 };
    const state = {
      ...classifierState(config, 1, {}),
      'q.fc.weight': tensor([0.25, -0.5, 0.5, 0.75, -0.5, 1], [3, 2]),
      'q.fc.bias': tensor([0.5, 0, -0.25], [3]),
    };
    const outputs = interpret(classifierStep(config, state).graph, {
      ...state,
      x: tensor([1, 2, -1, 0.5, 0, -2], [3, 2, 1, 1]),
      label: tensor([2, 0, 1], [3], 'int32'),
      lr: tensor([0.5], []),
    });
    expectNear(outputs.loss!.data, [1.8876402880843581]);
    expectNear(
      outputs['next.q.fc.weight']!.data,
      [0.11387143549677903, -0.1492029735477226, 0.4311407232481026, 0.20247202269083453].concat([
        -0.29501215874488174, 1.196730950856888,
      ]),
    );
    expectNear(
      outputs['next.q.fc.bias']!.data,
      [0.4585773242437673, 0.016525614227260954, -0.22510293847102825],
    );
  });
  it('starts from nothing', () => {
    const features = featureEncoder(5);
    expect(features.inputShape({ imageSize: 1 })).toEqual([5, 1, 1]);
    expect(features.name).toBe('features');
    expect(features.featureDim({ imageSize: 1 })).toBe(5);
    expect(
      features.init({ imageSize: 1 }, () => {
        throw new Error('nothing is drawn');
      }),
    ).toEqual({});
  });
});
