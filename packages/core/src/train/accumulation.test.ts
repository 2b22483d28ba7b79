import { describe, expect, expectTypeOf, it } from 'vitest';
import type { Backend, Program, Tensors } from '../backend.ts';
import { defineEncoder, isBuffer } from '../encoder.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { adamw } from '../optim/adamw.ts';
import { sgd } from '../optim/sgd.ts';
import { type Feed, interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { drawNegatives, type InstDiscConfig, instDiscState, instDiscStep } from '../ssl/instdisc.ts';
import { type MocoConfig, mocoState, mocoStep } from '../ssl/moco.ts';
import type { MocoV3Config } from '../ssl/moco-v3.ts';
import type { SimclrConfig } from '../ssl/simclr.ts';
import { filled, scalar, type Tensor, tensor } from '../tensor/tensor.ts';
import { pendingState } from './accumulation.ts';
import { microBatches } from './feeds.ts';
import type { TrainingStep } from './step.ts';
import { createTrainer } from './trainer.ts';

const [images, dim, size] = [8, 4, 4];

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

const shared = { encoder: encoderOf(false), encoderConfig: { imageSize: size }, dim, mlp: true, bnSplits: 1 };
const moco: Omit<MocoConfig, 'batch'> = {
  ...{ ...shared, queueSize: 16, momentum: 0.75, temperature: 0.25, shuffle: false, symmetric: false },
  optimizer: sgd({ momentum: 0.5, weightDecay: 0.125 }),
};
const instDisc: Omit<InstDiscConfig, 'batch'> = {
  ...{ ...shared, slots: 20, negatives: 6, draw: 'image', loss: 'nce', temperature: 0.5, bankMomentum: 0.5 },
  optimizer: sgd({ momentum: 0.5 }),
};

/** The images of an update cut into N micro-batches. */
const cut = (accumulate: number) => ({ batch: images / accumulate, accumulate });

function view(name: string, update: number): Tensor {
  const random = rng(0, name, update);
  const data = Float32Array.from({ length: images * 3 * size ** 2 }, random.normal);
  return tensor(data, [images, 3, size, size]);
}
const viewsOf = (update: number) => ({ xq: view('xq', update), xk: view('xk', update) });
/** Permutes within each micro-batch. */
function permutation(accumulate: number, update: number): Tensor {
  const random = rng(0, 'perm', update);
  const parts = Array.from({ length: accumulate }, () => [...random.permutation(images / accumulate)]);
  return tensor(parts.flat(), [images], 'int32');
}

interface Run {
  readonly step: TrainingStep;
  readonly state: Tensors;
  feeds(update: number): Record<string, Tensor>;
}

function mocoRun(more: Partial<MocoConfig>, accumulate: number): Run {
  const config = { ...moco, ...more, ...cut(accumulate) };
  const state = mocoState(config, 1);
  const order = (update: number) => (config.shuffle ? { perm: permutation(accumulate, update) } : {});
  return {
    step: mocoStep(config, state),
    state,
    feeds: (update) => ({ ...viewsOf(update), ...order(update) }),
  };
}

function instDiscRun(more: Partial<InstDiscConfig>, accumulate: number): Run {
  const config = { ...instDisc, ...more, ...cut(accumulate) };
  const fresh = instDiscState(config, 1);
  // Estimated already: the first estimate is of the first micro-batch alone.
  const state = config.loss === 'nce' ? { ...fresh, bank_z: scalar(12.5) } : fresh;
  return {
    step: instDiscStep(config, state),
    state,
    feeds: (update) => ({
      xq: view('xq', update),
      index: tensor(rng(0, 'index', update).permutation(config.slots).slice(0, images), [images], 'int32'),
      negatives: drawNegatives(config, 1, update),
    }),
  };
}

type State = Record<string, Feed>;

/** One micro-batch in float64. */
function pass(step: TrainingStep, state: State, part: Tensors, update: number) {
  const scalars = Object.entries(step.optimizer.scalars(0.5, update));
  const fed = Object.fromEntries(scalars.map(([name, value]) => [name, { shape: [], data: [value] }]));
  const outputs = interpret(step.graph, { ...state, ...part, ...fed });
  const next = step.state.map(({ input, output }) => [input, output ? outputs[output]! : state[input]!]);
  return { outputs, state: Object.fromEntries(next) as State };
}

/** Some updates in float64: the losses, and the state after the last, less what is pending. */
function play({ step, state: start, feeds }: Run, updates = 5) {
  let state: State = { ...start, ...pendingState(step) };
  const losses = Array.from({ length: updates }, (_, update) => {
    const parts = microBatches(step, feeds(update)).map((part) => {
      const after = pass(step, state, part, update);
      state = after.state;
      return after.outputs.loss!.data[0]!;
    });
    return parts.reduce((sum, loss) => sum + loss, 0) / parts.length;
  });
  return {
    losses,
    state: Object.fromEntries(Object.entries(state).filter(([name]) => !(name in (step.pending ?? {})))),
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

// An encoder without batch normalisation treats each image by itself, so that nothing tells where a batch was cut.
describe.each([2, 4])('an update from %i micro-batches is that of the whole batch', (accumulate) => {
  it.each<[string, Partial<MocoConfig>]>([
    ['MoCo', {}],
    ['MoCo, symmetric', { symmetric: true }],
    ['MoCo, shuffled', { shuffle: true }],
    ['MoCo by AdamW', { optimizer: adamw({ betas: [0.75, 0.875], weightDecay: 0.125 }) }],
  ])('%s', (_, more) => {
    expectAlike(play(mocoRun(more, accumulate)), play(mocoRun(more, 1)));
  });
  it.each<[string, Partial<InstDiscConfig>]>([
    ['NCE, a draw for each image', {}],
    ['InfoNCE, one draw', { loss: 'infonce', draw: 'batch', proximal: 0.5 }],
  ])('instance discrimination, %s', (_, more) => {
    expectAlike(play(instDiscRun(more, accumulate)), play(instDiscRun(more, 1)));
  });
});

describe('a micro-batch', () => {
  const run = mocoRun({ encoder: encoderOf(true), symmetric: true, queueSize: 32 }, 4);
  const { step } = run;
  // Key encoders differ from query encoders as after some updates.
  const apart = Object.entries(run.state).map(([name, value]) => [
    name,
    name.startsWith('k.') ? { ...value, data: value.data.map((x) => x + 0.25) } : value,
  ]);
  const start: State = { ...Object.fromEntries(apart), ...pendingState(step) };
  const parts = microBatches(step, run.feeds(0));
  const isPending = (name: string) => name in step.pending!;

  it('changes nothing but running statistics before the last one, to the bit', () => {
    let state = start;
    parts.forEach((part, i) => {
      const before = state;
      state = pass(step, state, part, 0).state;
      const moved = Object.keys(state).filter(
        (name) =>
          !isPending(name) &&
          Array.from(state[name]!.data).some((x, at) => !Object.is(x, before[name]!.data[at])),
      );
      const names = Object.keys(run.state).filter((name) => i === parts.length - 1 || isBuffer(name));
      expect(moved).toEqual(names);
    });
  });
  it('that is the first begins anew, whatever a failed update has left', () => {
    const left = Object.entries(step.pending!).map(([name, { shape }]) => [name, filled(shape, Number.NaN)]);
    const [usual, after] = [start, { ...start, ...Object.fromEntries(left) }].map((begin) =>
      parts.reduce((state, part) => pass(step, state, part, 0).state, begin),
    );
    expect(after).toEqual(usual);
  });
  it('that is the first estimates Z for all later ones', () => {
    const { step, state: fresh, feeds } = instDiscRun({}, 2);
    let state: State = { ...fresh, ...pendingState(step), bank_z: scalar(0) };
    const estimates = microBatches(step, feeds(0)).map((part) => {
      state = pass(step, state, part, 0).state;
      return state.bank_z!.data[0];
    });
    expect(estimates[0]).toBeGreaterThan(0);
    expect(estimates[1]).toBe(estimates[0]);
  });
});

it('a step of one micro-batch has the graph of a step that knows of none', () => {
  const plain = mocoStep({ ...moco, batch: images }, mocoState({ ...moco, batch: images }, 1));
  expect(mocoRun({}, 1).step).toEqual({ ...plain, optimizer: moco.optimizer });
  expect(plain.graph.inputs.map(({ name }) => name)).not.toContain('accumulate.index');
});

it('a step whose loss compares the images of a batch takes no number of micro-batches', () => {
  expectTypeOf<MocoConfig>().toHaveProperty('accumulate');
  expectTypeOf<MocoV3Config>().not.toHaveProperty('accumulate');
  expectTypeOf<SimclrConfig>().not.toHaveProperty('accumulate');
});

describe('a trainer', () => {
  /** A backend whose runs end when they are told to. */
  function played(overlapping: boolean) {
    const fed: Tensors[] = [];
    const ends: ((loss: number | Error) => void)[] = [];
    const loaded: string[] = [];
    const read: (readonly string[] | undefined)[] = [];
    const program: Program = {
      memory: { stateBytes: 0 },
      load: async (state) => void loaded.push(...Object.keys(state)),
      run: (feeds) => {
        fed.push(feeds);
        return new Promise((resolve, reject) => {
          ends.push((loss) =>
            loss instanceof Error
              ? reject(loss)
              : resolve({
                  loss: scalar(loss),
                  parts: tensor([loss, 2 * loss], [2]),
                  'grad.w': tensor([loss], [1]),
                  'grad.scale': scalar(loss),
                }),
          );
        });
      },
      read: async (names) => {
        read.push(names);
        return {};
      },
      dispose: async () => {},
    };
    const backend: Backend = {
      ...{ name: 'played', device: 'none', compile: async () => program, dispose: async () => {} },
      capabilities: () => ({ training: true, inference: true, dtypes: [], lowering: '', overlapping }),
    };
    return { backend, fed, ends, loaded, read };
  }
  const { step, state, feeds } = mocoRun({ shuffle: true }, 4);
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  it('gives each micro-batch its rows and its number, one after the other, and takes the mean of their metrics', async () => {
    const { backend, fed, ends } = played(false);
    const trainer = await createTrainer(backend, step, state);
    const fullBatch = feeds(0);
    const metrics = trainer.step(fullBatch, 0.5, 0);
    for (let i = 0; i < 4; i++) {
      await settled();
      expect(fed).toHaveLength(i + 1);
      const { xq, perm, lr, 'accumulate.index': index } = fed[i]!;
      expect(xq).toEqual(tensor(fullBatch.xq!.data.slice(i * 96, (i + 1) * 96), [2, 3, 4, 4]));
      expect(perm).toEqual(tensor(fullBatch.perm!.data.slice(2 * i, 2 * i + 2), [2], 'int32'));
      expect([lr, index]).toEqual([scalar(0.5), scalar(i, 'int32')]);
      ends[i]!([1, 2, 3, 6][i]!);
    }
    expect(await metrics).toEqual({
      loss: scalar(3),
      parts: tensor([3, 6], [2]),
      // Each is the mean so far: the last is the update's.
      'grad.w': tensor([6], [1]),
      'grad.scale': scalar(6),
    });
  });
  it('gives all of them at once to a device that computes by itself', async () => {
    const { backend, fed, ends } = played(true);
    const trainer = await createTrainer(backend, step, state);
    const metrics = trainer.step(feeds(0), 0.5, 0);
    expect(fed.map((part) => part['accumulate.index']!.data[0])).toEqual([0, 1, 2, 3]);
    for (const end of ends) end(2);
    expect((await metrics).loss).toEqual(scalar(2));
  });
  it('fails by a micro-batch that fails, and takes the next step from the first one', async () => {
    const { backend, fed, ends } = played(false);
    const trainer = await createTrainer(backend, step, state);
    const failed = expect(trainer.step(feeds(0), 0.5, 0)).rejects.toThrow('no memory');
    ends[0]!(1);
    await settled();
    ends[1]!(new Error('no memory'));
    await failed;
    void trainer.step(feeds(0), 0.5, 0);
    expect(fed.map((part) => part['accumulate.index']!.data[0])).toEqual([0, 1, 0]);
  });
  it('knows that its state is lost where the last micro-batch has updated without one that failed', async () => {
    const { backend, fed, ends, read } = played(true);
    const trainer = await createTrainer(backend, step, state);
    const failed = expect(trainer.step(feeds(0), 0.5, 0)).rejects.toThrow('no upload');
    const behind = expect(trainer.step(feeds(1), 0.5, 1)).rejects.toThrow('state was lost');
    ends[0]!(1);
    ends[1]!(new Error('no upload'));
    for (const end of ends.slice(2)) end(1);
    await Promise.all([failed, behind]);
    const lost = {
      code: 'backend-failed',
      message: 'the state was lost by a micro-batch that failed: no upload',
    };
    await expect(trainer.step(feeds(1), 0.5, 1)).rejects.toMatchObject(lost);
    await expect(trainer.state()).rejects.toMatchObject(lost);
    expect([fed.length, read]).toEqual([8, []]);
  });
  it('has its state where the last micro-batch fails', async () => {
    const { backend, ends, read } = played(true);
    const trainer = await createTrainer(backend, step, state);
    const failed = expect(trainer.step(feeds(0), 0.5, 0)).rejects.toThrow('no upload');
    for (const end of ends.slice(0, 3)) end(1);
    ends[3]!(new Error('no upload'));
    await failed;
    await trainer.state();
    expect(read).toHaveLength(1);
  });
  it('keeps what is pending to itself', async () => {
    const { backend, loaded, read } = played(false);
    const trainer = await createTrainer(backend, step, state);
    expect(loaded.sort()).toEqual([...Object.keys(state), ...Object.keys(step.pending!)].sort());
    expect(trainer.stateNames).toEqual(Object.keys(state));
    await trainer.state();
    expect(read).toEqual([Object.keys(state)]);
  });
});
