/** Steps of several replicas, each with its part of the batch, against one replica with all of it. */
import { describe, expect, it } from 'vitest';
import type { Tensors } from '../backend.ts';
import { defineEncoder, isBuffer } from '../encoder.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { adamw } from '../optim/adamw.ts';
import { lars } from '../optim/lars.ts';
import { sgd } from '../optim/sgd.ts';
import { type Feed, interpret, interpretReplicas } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { scalar, type Tensor, tensor } from '../tensor/tensor.ts';
import { pendingState } from '../train/accumulation.ts';
import { microBatches, partOf } from '../train/feeds.ts';
import type { TrainingStep } from '../train/step.ts';
import { distillState, distillStep } from './distill.ts';
import { drawNegatives, type InstDiscConfig, instDiscState, instDiscStep } from './instdisc.ts';
import { type MocoConfig, mocoState, mocoStep } from './moco.ts';
import { mocoV3State, mocoV3Step } from './moco-v3.ts';
import type { PassConfig } from './pass.ts';
import { simclrState, simclrStep } from './simclr.ts';

const [images, dim, size] = [16, 4, 4];

/** @param normalised whether images of a batch tell something of each other */
const encoderOf = (normalised: boolean) =>
  defineEncoder({
    name: 'one-convolution',
    inputShape: () => [3, size, size],
    featureDim: () => 6,
    init: (_, random) => {
      const params = {};
      initConv(params, 'conv1', [6, 3, 3, 3], random);
      if (normalised) initBatchNorm(params, 'bn1', 6);
      return params;
    },
    forward: (context, params, x) => {
      const maps = conv(params, 'conv1', x, { padding: 1 });
      return mean(relu(normalised ? batchNorm(context, params, 'bn1', maps) : maps), [2, 3]);
    },
  });

/** How the images of an update are divided. */
interface Division {
  readonly replicas?: number;
  readonly accumulate?: number;
  readonly bnSplits?: number;
  readonly bnSync?: boolean;
  readonly normalised?: boolean;
}

interface Run {
  readonly step: TrainingStep;
  readonly state: Tensors;
  feeds(update: number): Tensors;
}

const drawn = (name: string, update: number, shape: readonly number[]): Tensor => {
  const random = rng(0, name, update);
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random.normal), shape);
};
const views = (update: number) => ({
  xq: drawn('xq', update, [images, 3, size, size]),
  xk: drawn('xk', update, [images, 3, size, size]),
});

function passOf({ replicas = 1, accumulate = 1, bnSplits = 1, bnSync = false, normalised = true }: Division) {
  const batch = images / replicas / accumulate;
  const pass: PassConfig = {
    encoder: encoderOf(normalised),
    encoderConfig: { imageSize: size },
    batch,
    bnSplits,
  };
  return { ...pass, replicas, accumulate, bnSync };
}

function made<Config>(
  config: Config,
  state: (config: Config, seed: number) => Record<string, Tensor>,
  step: (config: Config, state: Record<string, Tensor>) => TrainingStep,
  feeds: Run['feeds'],
): Run {
  const start = state(config, 1);
  return { state: start, step: step(config, start), feeds };
}

const momentum = sgd({ momentum: 0.5, weightDecay: 0.125 });
const shared = { dim, mlp: true, temperature: 0.25, optimizer: momentum };

/** The orders of the micro-batches, each of the images of all replicas. */
const ordersOf = (update: number, accumulate = 1) =>
  Array.from({ length: accumulate }, (_, part) => [
    ...rng(0, `perm ${part}`, update).permutation(images / accumulate),
  ]);

const moco =
  (more: Partial<MocoConfig> = {}) =>
  (division: Division): Run => {
    const config: MocoConfig = {
      ...{ ...shared, ...passOf(division), queueSize: 64, momentum: 0.75, shuffle: false, symmetric: false },
      ...more,
    };
    const perm = (update: number) => ({
      perm: tensor(ordersOf(update, division.accumulate).flat(), [images], 'int32'),
    });
    return made(config, mocoState, mocoStep, (update) => ({
      ...views(update),
      ...(config.shuffle && perm(update)),
    }));
  };

const instDisc =
  (more: Partial<InstDiscConfig>) =>
  (division: Division): Run => {
    const config: InstDiscConfig = {
      ...{ ...shared, ...passOf(division), slots: 20, negatives: 6, draw: 'image', loss: 'nce' },
      ...{ bankMomentum: 0.5, ...more },
    };
    return made(config, instDiscState, instDiscStep, (update) => ({
      xq: views(update).xq,
      index: tensor(rng(0, 'index', update).permutation(20).slice(0, images), [images], 'int32'),
      negatives: drawNegatives(config, 1, update),
    }));
  };

const v3 = (division: Division): Run => {
  const { accumulate: _, ...pass } = passOf(division);
  const config = {
    ...{ ...pass, hidden: 8, dim, temperature: 0.5, optimizer: adamw({ weightDecay: 0.125 }) },
    ...{ projectorLayers: 2, predictorLayers: 2, predictorNorm: true },
  };
  return made(config, mocoV3State, mocoV3Step, (update) => ({ ...views(update), momentum: scalar(0.75) }));
};

const simclr = (division: Division): Run => {
  const { accumulate: _, ...pass } = passOf(division);
  const config = { ...shared, ...pass, optimizer: lars({ momentum: 0.5 }) };
  return made(config, simclrState, simclrStep, views);
};

const distill = (division: Division): Run => {
  const config = { ...shared, ...passOf(division), queueSize: 64, teacherTemperature: 0.125 };
  return made(config, distillState, distillStep, (update) => ({
    xq: views(update).xq,
    teacher: drawn('teacher', update, [images, dim]),
  }));
};

type State = Record<string, Feed>;

/** Some updates in float64 on all replicas: the losses, and the state after the last, which is the same on each. */
function play({ step, state: start, feeds }: Run, updates = 3) {
  const { replicas = 1 } = step;
  const pending = pendingState(step);
  let states: State[] = Array.from({ length: replicas }, () => ({ ...start, ...pending }));
  const losses = Array.from({ length: updates }, (_, update) => {
    const scalars = Object.entries(step.optimizer.scalars(0.5, update));
    const fed = Object.fromEntries(scalars.map(([name, value]) => [name, { shape: [], data: [value] }]));
    const shares = states.map((_, rank) => microBatches(step, feeds(update), { rank, size: replicas }));
    const parts = shares[0]!.map((_, part) => {
      const results = interpretReplicas(
        step.graph,
        states.map((state, rank) => ({ ...state, ...shares[rank]![part], ...fed })),
      );
      states = results.map((outputs, rank) =>
        Object.fromEntries(
          step.state.map(({ input, output }) => [input, output ? outputs[output]! : states[rank]![input]!]),
        ),
      );
      for (const { loss } of results) expect(loss).toEqual(results[0]!.loss);
      return results[0]!.loss!.data[0]!;
    });
    return parts.reduce((total, loss) => total + loss, 0) / parts.length;
  });
  for (const state of states) expect(state).toEqual(states[0]);
  return {
    losses,
    state: Object.fromEntries(Object.entries(states[0]!).filter(([name]) => !(name in pending))),
  };
}

function expectAlike(actual: ReturnType<typeof play>, expected: ReturnType<typeof play>): void {
  expect(Object.keys(actual.state)).toEqual(Object.keys(expected.state));
  const values = ({ losses, state }: typeof actual) => ({
    losses: { data: losses as ArrayLike<number> },
    ...state,
  });
  const others = values(expected);
  for (const [name, { data }] of Object.entries(values(actual)))
    Array.from(data).forEach((value, i) => {
      expect(Math.abs(value - others[name as 'losses']!.data[i]!), `${name} ${i}`).toBeLessThan(1e-9);
    });
}

describe.each([2, 4])('%i replicas, normalised together, are one with the whole batch', (replicas) => {
  it.each<[string, (division: Division) => Run]>([
    ['MoCo', moco()],
    ['MoCo, symmetric', moco({ symmetric: true })],
    ['MoCo, shuffled', moco({ shuffle: true })],
    [
      'MoCo by AdamW, with a loss scale',
      moco({ optimizer: { ...adamw({ weightDecay: 0.125 }), lossScale: 1024 } }),
    ],
    ['MoCo v3 by AdamW', v3],
    ['SimCLR by LARS', simclr],
    ['instance discrimination, NCE', instDisc({})],
    [
      'instance discrimination, InfoNCE, one draw',
      instDisc({ loss: 'infonce', draw: 'batch', proximal: 0.5 }),
    ],
    ['distillation', distill],
  ])('%s', (_, run) => {
    expectAlike(play(run({ replicas, bnSync: true })), play(run({})));
  });
});

// An encoder without batch normalisation treats each image by itself, so that nothing tells where a batch was cut.
it.each<[string, (division: Division) => Run]>([
  ['MoCo, symmetric and shuffled', moco({ symmetric: true, shuffle: true })],
  ['instance discrimination', instDisc({ loss: 'infonce' })],
  ['distillation', distill],
])('an update from 2 micro-batches of each of 2 replicas is that of the whole batch: %s', (_, run) => {
  expectAlike(play(run({ replicas: 2, accumulate: 2, normalised: false })), play(run({ normalised: false })));
});

describe('replicas, each normalised by itself', () => {
  const replicas = 4;
  const each = images / replicas;
  /** Where an image of the replicas is in a batch whose groups are the replicas: sample n in group n mod R. */
  const place = (at: number) => (at % each) * replicas + Math.floor(at / each);
  const places = Array.from({ length: images }, (_, at) => place(at));

  function interleaved({ shape, data }: Tensor): Tensor {
    const rowSize = data.length / images;
    const moved = data.slice();
    places.forEach((to, at) => {
      moved.set(data.subarray(at * rowSize, (at + 1) * rowSize), to * rowSize);
    });
    return tensor(moved, shape);
  }
  /** One replica with a group for each of the replicas, which are fed `run`. */
  function grouped(run: Run, one: Run): Run {
    const feeds = (update: number) => {
      const { xq, xk, perm } = run.feeds(update);
      const moved = new Int32Array(images);
      if (perm)
        places.forEach((to, at) => {
          moved[to] = place(perm.data[at]!);
        });
      return {
        xq: interleaved(xq!),
        xk: interleaved(xk!),
        ...(perm && { perm: tensor(moved, [images], 'int32') }),
      };
    };
    return { ...one, feeds };
  }
  const withoutStatistics = ({ losses, state }: ReturnType<typeof play>) => ({
    losses,
    state: Object.fromEntries(Object.entries(state).filter(([name]) => !isBuffer(name))),
  });

  it.each([
    ['shuffled', true],
    ['plain', false],
  ])('are the groups of one: %s', (_, shuffle) => {
    const run = moco({ shuffle })({ replicas });
    const [actual, expected] = [run, grouped(run, moco({ shuffle })({ bnSplits: replicas }))].map((each) =>
      withoutStatistics(play(each)),
    ) as [ReturnType<typeof play>, ReturnType<typeof play>];
    // The keys of a batch are in the order of its images.
    const queue = Float64Array.from(actual.state.queue!.data);
    for (let column = 0; column < 48; column++)
      for (let row = 0; row < dim; row++) {
        const to = Math.floor(column / images) * images + place(column % images);
        queue[row * 64 + to] = actual.state.queue!.data[row * 64 + column]!;
      }
    expectAlike(
      { ...actual, state: { ...actual.state, queue: { shape: [dim, 64], data: queue } } },
      expected,
    );
  });

  it("keep replica 0's running statistics", () => {
    const run = moco()({ replicas });
    const { state } = play(run, 1);
    const part = Object.fromEntries(
      Object.entries(run.feeds(0)).map(([name, feed]) => [
        name,
        partOf(feed, [each, 3, size, size], 0, replicas),
      ]),
    );
    const config = { ...shared, ...passOf({ replicas }), replicas: 1, queueSize: 64, momentum: 0.75 };
    const one = mocoStep({ ...config, shuffle: false, symmetric: false }, run.state);
    const outputs = interpret(one.graph, { ...run.state, ...part, lr: { shape: [], data: [0.5] } });
    for (const name of ['q.bn1.running_mean', 'k.bn1.running_var'])
      expect(state[name]!.data).toEqual(outputs[`next.${name}`]!.data);
  });
});

it('a batch that replicas cannot normalise is told with their number', () => {
  const tell = (division: Division) => () => moco()(division);
  expect(tell({ replicas: 16 })).toThrow(
    /a batch of 1 on each of 16 replicas can't be normalised in 1 groups/,
  );
  expect(tell({ replicas: 16, bnSync: true })).not.toThrow();
  expect(() => moco({ queueSize: 24 })({ replicas: 4 })).toThrow(/no multiple of the 16 keys of a step/);
});
