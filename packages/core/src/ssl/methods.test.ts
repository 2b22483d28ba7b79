/// <reference types="node" />
/** Whole runs of each method in the float64 interpreter against float64 PyTorch: parity/methods.py made the fixture. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { defineEncoder } from '../encoder.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import '../optim/adamw.ts';
import '../optim/lars.ts';
import '../optim/sgd.ts';
import { createOptimizer, type OptimizerConfig } from '../optim/optimizer.ts';
import { risingMomentum } from '../optim/schedule.ts';
import { type Feed, interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { pendingState } from '../train/accumulation.ts';
import { microBatches } from '../train/feeds.ts';
import type { TrainingStep } from '../train/step.ts';
import { type DistillConfig, distillState, distillStep } from './distill.ts';
import { drawNegatives, type InstDiscConfig, instDiscState, instDiscStep } from './instdisc.ts';
import { type MocoConfig, mocoState, mocoStep } from './moco.ts';
import { type MocoV3Config, mocoV3State, mocoV3Step } from './moco-v3.ts';
import { type SimclrConfig, simclrState, simclrStep } from './simclr.ts';

interface Spec {
  readonly method: string;
  readonly lr: number;
  readonly momentum: number;
  readonly frozen?: readonly string[];
  readonly optimizer: OptimizerConfig;
  readonly accumulate?: number;
}
interface Case {
  readonly spec: Spec;
  readonly losses: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly state: Readonly<Record<string, readonly number[]>>;
}
interface Fixture {
  readonly seed: number;
  readonly steps: number;
  readonly batch: number;
  readonly size: number;
  readonly cases: Readonly<Record<string, Case>>;
}

const file = new URL('../../../../parity/fixtures/methods.json', import.meta.url);
const { seed, steps, batch, size, cases } = JSON.parse(readFileSync(file, 'utf8')) as Fixture;

const encoder = defineEncoder({
  name: 'two-convolutions',
  inputShape: () => [3, size, size],
  featureDim: () => 6,
  init: (_, random) => {
    const params = {};
    initConv(params, 'conv1', [4, 3, 3, 3], random);
    initBatchNorm(params, 'bn1', 4);
    initConv(params, 'conv2', [6, 4, 3, 3], random);
    initBatchNorm(params, 'bn2', 6);
    return params;
  },
  forward: (context, params, x) => {
    const first = batchNorm(context, params, 'bn1', conv(params, 'conv1', x, { padding: 1 }));
    const second = conv(params, 'conv2', relu(first), { padding: 1, stride: 2 });
    return mean(relu(batchNorm(context, params, 'bn2', second)), [2, 3]);
  },
});

/** Both views of a step: a pattern that they share, and noise of each one's own. */
function views(step: number): Record<'xq' | 'xk', Tensor> {
  const shape = [batch, 3, size, size];
  const pattern = rng(seed, 'x/base', step);
  const base = Array.from({ length: batch * 3 * size * size }, () => pattern.uniform(-1, 1));
  const side = (name: string) => {
    const noise = rng(seed, `x/${name}`, step);
    return tensor(
      Float32Array.from(base, (value) => value + noise.uniform(-1, 1)),
      shape,
    );
  };
  return { xq: side('q'), xk: side('k') };
}

interface Method {
  readonly step: TrainingStep;
  readonly state: Readonly<Record<string, Feed>>;
  feeds(step: number): Record<string, Feed>;
}

function methodOf({ spec }: Case): Method {
  const shared = {
    ...spec,
    encoder: { ...encoder, frozen: () => spec.frozen ?? [] },
    encoderConfig: { imageSize: size },
    batch: batch / (spec.accumulate ?? 1),
    bnSplits: 1,
    optimizer: createOptimizer(spec.optimizer),
    exposeGradients: true,
  };
  if (spec.method === 'moco-v3') {
    const config = shared as unknown as MocoV3Config;
    const state = mocoV3State(config, seed);
    const momentum = (i: number) => ({ shape: [], data: [risingMomentum(spec.momentum, i / steps)] });
    return {
      step: mocoV3Step(config, state),
      state,
      feeds: (i) => ({ ...views(i), momentum: momentum(i) }),
    };
  }
  if (spec.method === 'simclr') {
    const config = shared as unknown as SimclrConfig;
    const state = simclrState(config, seed);
    return { step: simclrStep(config, state), state, feeds: views };
  }
  if (spec.method === 'moco-v2') {
    const config = { ...shared, shuffle: false } as unknown as MocoConfig;
    const state = mocoState(config, seed);
    return { step: mocoStep(config, state), state, feeds: views };
  }
  if (spec.method === 'distill') {
    const config = shared as unknown as DistillConfig;
    const state = distillState(config, seed);
    const feeds = (i: number) => ({ xq: views(i).xq, teacher: taught(i, config.dim) });
    return { step: distillStep(config, state), state, feeds };
  }
  const config = shared as unknown as InstDiscConfig;
  const state = instDiscState(config, seed);
  return {
    step: instDiscStep(config, state),
    state,
    feeds: (i) => ({
      xq: views(i).xq,
      index: indexOf(config, i),
      negatives: drawNegatives(config, seed, i),
    }),
  };
}

/** methods.py's features of a teacher. */
function taught(step: number, dim: number): Tensor {
  const drawn = rng(seed, 'teacher', step);
  const values = Float32Array.from({ length: batch * dim }, () => 1 + 0.2 * drawn.normal());
  return tensor(values, [batch, dim]);
}

function indexOf({ slots }: InstDiscConfig, step: number): Tensor {
  return tensor(rng(seed, 'index', step).permutation(slots).subarray(0, batch), [batch], 'int32');
}

function run({ step, state: start, feeds }: Method, spec: Spec) {
  const pending = pendingState(step);
  let state: Readonly<Record<string, Feed>> = { ...start, ...pending };
  const updates = Array.from({ length: steps }, (_, i) => {
    const scalars = Object.entries(step.optimizer.scalars(spec.lr, i));
    const fed = Object.fromEntries(scalars.map(([name, value]) => [name, { shape: [], data: [value] }]));
    // Its rows are cut, numbers that are fed go through as they are.
    return microBatches(step, feeds(i) as Record<string, Tensor>).map((part) => {
      const outputs = interpret(step.graph, { ...state, ...part, ...fed });
      const before = state;
      state = Object.fromEntries(
        step.state.map(({ input, output }) => [input, output ? outputs[output]! : before[input]!]),
      );
      return outputs;
    });
  });
  const kept = Object.entries(state).filter(([name]) => !(name in pending));
  return { updates, state: Object.fromEntries(kept) };
}

function relative(
  actual: ArrayLike<number>,
  expected: readonly number[],
  scale = Math.hypot(...expected),
): number {
  expect(actual.length).toBe(expected.length);
  return Math.hypot(...expected.map((value, i) => actual[i]! - value)) / scale;
}

describe.each(Object.keys(cases))('%s against PyTorch', (name) => {
  const given = cases[name]!;
  const method = methodOf(given);
  const { updates, state } = run(method, given.spec);

  it('has the losses of every step', () => {
    updates.forEach((parts, i) => {
      const loss = parts.reduce((sum, part) => sum + part.loss!.data[0]!, 0) / parts.length;
      expect(relative([loss], [given.losses[i]!]), `step ${i}`).toBeLessThan(1e-9);
    });
  });
  it('has the gradients of the first step, and no others', () => {
    const names = method.step.metrics.filter((metric) => metric.startsWith('grad.'));
    expect(names.sort()).toEqual(
      Object.keys(given.gradients)
        .map((parameter) => `grad.${parameter}`)
        .sort(),
    );
    for (const [parameter, expected] of Object.entries(given.gradients))
      expect(relative(updates[0]!.at(-1)![`grad.${parameter}`]!.data, expected), parameter).toBeLessThan(
        1e-8,
      );
  });
  it('has the parameters, the optimizer and all other state after the last step', () => {
    expect(Object.keys(state).sort()).toEqual(Object.keys(given.state).sort());
    for (const [key, expected] of Object.entries(given.state)) {
      // Behind a normalisation a running mean is 0 but for rounding: its measure is the deviation.
      const measure = key.endsWith('.running_mean')
        ? given.state[key.replace(/mean$/, 'var')]!.map(Math.sqrt)
        : expected;
      expect(relative(state[key]!.data, expected, Math.hypot(...measure)), key).toBeLessThan(1e-8);
    }
  });
});
