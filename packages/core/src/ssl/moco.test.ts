import { describe, expect, it } from 'vitest';
import { defineEncoder, type Encoder, isBuffer, type TracedParams } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { gradients } from '../grad.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv, normalize } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { type Feed, interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { filled, type Tensor, tensor } from '../tensor/tensor.ts';
import { under } from '../train/branch.ts';
import { head } from './head.ts';
import { infoNce } from './losses.ts';
import { checkMoco, type MocoConfig, mocoState, mocoStep } from './moco.ts';

const [batch, dim, queueSize, imageSize] = [8, 4, 32, 4];
const images = [batch, 3, imageSize, imageSize];

const encoder: Encoder = defineEncoder({
  name: 'test',
  inputShape: () => [3, imageSize, imageSize],
  featureDim: () => 6,
  init: (_, random) => {
    const params = {};
    initConv(params, 'conv1', [6, 3, 3, 3], random);
    initBatchNorm(params, 'bn1', 6);
    return params;
  },
  forward: (context, params, x) =>
    mean(relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x, { padding: 1 }))), [2, 3]),
});

const base: MocoConfig = {
  encoder,
  encoderConfig: { imageSize },
  batch,
  dim,
  mlp: true,
  queueSize,
  momentum: 0.75,
  temperature: 0.25,
  bnSplits: 1,
  shuffle: false,
  symmetric: false,
  optimizer: sgd({ momentum: 0.5 }),
  exposeGradients: true,
};

const drawn = (name: string, shape: readonly number[]): Tensor => {
  const random = rng(0, name);
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random.normal), shape);
};
const views = { xq: drawn('xq', images), xk: drawn('xk', images) };
const lr = { lr: tensor([0.5], []) };
/** Mixes the even and the odd samples, which are the two groups of split normalisation. */
const perm = tensor([5, 2, 6, 0, 1, 7, 3, 4], [batch], 'int32');

/** A state in which q and k differ, as after some steps. */
function stateOf(config: MocoConfig): Record<string, Tensor> {
  const state = mocoState(config, 1);
  const other = mocoState(config, 2);
  for (const name of Object.keys(state))
    if (name.startsWith('k.') && !isBuffer(name)) state[name] = other[name]!;
  state['k.bn1.running_mean'] = filled([6], 0.5);
  state['k.bn1.running_var'] = filled([6], 2);
  return state;
}

function run(config: MocoConfig, feeds: Record<string, Feed> = {}, state = stateOf(config)) {
  const step = mocoStep(config, state);
  const perms = config.shuffle ? { perm } : {};
  return { step, state, outputs: interpret(step.graph, { ...state, ...views, ...lr, ...perms, ...feeds }) };
}

/** One pass of an encoder on its own, with the running statistics after it. */
function encodeAlone(params: Record<string, Feed>, x: Feed, splits: number) {
  const graph = trace((builder) => {
    const traced: TracedParams = Object.fromEntries(
      Object.entries(params).map(([name, { shape }]) => [name, builder.input(name, shape)]),
    );
    const updates = new Map<string, Traced>();
    const context = { config: base.encoderConfig, training: true, normalization: { splits }, updates };
    const features = encoder.forward(context, traced, builder.input('x', x.shape));
    return { keys: normalize(head(traced, features, base)), ...Object.fromEntries(updates) };
  });
  return interpret(graph, { ...params, x });
}

/** m k + (1 - m) q for the parameters; m = 0.75 has no rounding. Buffers are k's own. */
function followed(state: Record<string, Tensor>): Record<string, Feed> {
  const q = under('q', state);
  return Object.fromEntries(
    Object.entries(under('k', state)).map(([name, { shape, data }]) => {
      const mixed = Float64Array.from(data, (k, i) =>
        isBuffer(name) ? k : 0.75 * k + 0.25 * q[name]!.data[i]!,
      );
      return [name, { shape, data: mixed }];
    }),
  );
}

function expectSame(actual: Feed, expected: Feed, message = ''): void {
  expect(actual.shape, message).toEqual(expected.shape);
  for (let i = 0; i < expected.data.length; i++)
    expect(Math.abs(actual.data[i]! - expected.data[i]!), `${message} ${i}`).toBeLessThan(1e-10);
}

describe('the order of updates', () => {
  const { state, outputs } = run(base);
  const keyParams = followed(state);
  const keys = encodeAlone(keyParams, views.xk, 1);

  it("the key encoder follows the query's parameters as they were before the optimizer's step", () => {
    for (const [name, value] of Object.entries(keyParams))
      if (!isBuffer(name)) expectSame(outputs[`next.k.${name}`]!, value, name);
  });
  it('the optimizer does move the query encoder', () => {
    for (const [name, { data }] of Object.entries(under('q', state))) {
      const g = outputs[`grad.${name}`];
      if (g) expectSame(outputs[`next.q.${name}`]!, { shape: g.shape, data: sgdStep(data, g) }, name);
    }
    expect(outputs['grad.conv1.weight']!.data.some((x) => Math.abs(x) > 1e-3)).toBe(true);
  });
  it('keys come from the key encoder after it has followed, with its own running statistics', () => {
    for (const buffer of ['bn1.running_mean', 'bn1.running_var'])
      expectSame(outputs[`next.k.${buffer}`]!, keys[buffer]!, buffer);
    const q = encodeAlone(under('q', state), views.xq, 1);
    expectSame(outputs['next.q.bn1.running_mean']!, q['bn1.running_mean']!);
    expect(outputs['next.q.bn1.running_mean']!.data).not.toEqual(outputs['next.k.bn1.running_mean']!.data);
  });
  it('the loss sees the queue before the keys are put into it', () => {
    const query = encodeAlone(under('q', state), views.xq, 1).keys!;
    const graph = trace((builder) => {
      const [q, k] = [builder.input('q', [batch, dim]), builder.input('k', [batch, dim])];
      return { loss: infoNce(q, k, builder.input('queue', [dim, queueSize]), 0.25).loss };
    });
    const { loss } = interpret(graph, { q: query, k: keys.keys!, queue: state.queue! });
    expectSame(outputs.loss!, loss!);
  });
  it('then the keys replace the oldest, and the pointer moves', () => {
    const [queue, before] = [outputs['next.queue']!, state.queue!];
    for (let d = 0; d < dim; d++)
      for (let column = 0; column < queueSize; column++) {
        const expected =
          column < batch ? keys.keys!.data[column * dim + d]! : before.data[d * queueSize + column]!;
        expect(queue.data[d * queueSize + column]).toBeCloseTo(expected, 10);
      }
    expect(outputs['next.queue_ptr']!.data[0]).toBe(batch);
    const last = run(base, { queue_ptr: tensor([queueSize - batch], [], 'int32') }).outputs;
    expect(last['next.queue_ptr']!.data[0]).toBe(0);
    expect(last['next.queue']!.data[queueSize - batch]).toBeCloseTo(keys.keys!.data[0]!, 10);
  });
  it('no gradient passes the keys: they might as well be given', () => {
    const queryParams = under('q', state);
    const names = Object.keys(queryParams).filter((name) => !isBuffer(name));
    const graph = trace((builder) => {
      const traced: TracedParams = Object.fromEntries(
        Object.entries(queryParams).map(([name, { shape }]) => [name, builder.input(name, shape)]),
      );
      const context = {
        config: base.encoderConfig,
        training: true,
        normalization: { splits: 1 },
        updates: new Map(),
      };
      const features = encoder.forward(context, traced, builder.input('x', images));
      const query = normalize(head(traced, features, base));
      const queue = builder.input('queue', [dim, queueSize]);
      const { loss } = infoNce(query, builder.input('keys', [batch, dim]), queue, 0.25);
      const results = gradients(
        loss,
        names.map((name) => traced[name]!),
      );
      return Object.fromEntries(names.map((name, i) => [name, results[i]!]));
    });
    const alone = interpret(graph, { ...queryParams, x: views.xq, keys: keys.keys!, queue: state.queue! });
    for (const name of names) expectSame(outputs[`grad.${name}`]!, alone[name]!, name);
  });
});

/** p - lr v with v = g at the first step; lr is 0.5. */
function sgdStep(p: ArrayLike<number>, g: Feed): Float64Array {
  return Float64Array.from(p, (x, i) => x - 0.5 * g.data[i]!);
}

describe('the shuffle', () => {
  it('changes nothing where all are normalised together: keys come back in their order', () => {
    const plain = run(base).outputs;
    const shuffled = run({ ...base, shuffle: true }).outputs;
    expectSame(shuffled.loss!, plain.loss!);
    expectSame(shuffled['next.queue']!, plain['next.queue']!);
  });
  it('puts keys into other groups than their queries', () => {
    const split = run({ ...base, bnSplits: 2 });
    const shuffled = run({ ...base, bnSplits: 2, shuffle: true });
    expect(Math.abs(split.outputs.loss!.data[0]! - shuffled.outputs.loss!.data[0]!)).toBeGreaterThan(1e-4);
    const image = images.slice(1).reduce((a, b) => a * b, 1);
    const moved = Float32Array.from(views.xk.data);
    perm.data.forEach((from, i) => {
      moved.set(views.xk.data.subarray(from * image, (from + 1) * image), i * image);
    });
    const { keys } = encodeAlone(followed(shuffled.state), { shape: images, data: moved }, 2);
    perm.data.forEach((original, i) => {
      const column = shuffled.outputs['next.queue']!.data[original]!;
      expect(column).toBeCloseTo(keys!.data[i * dim]!, 10);
    });
  });
});

describe('split normalisation', () => {
  it('normalises sample n in group n mod splits: as if each group were a batch', () => {
    const { state, outputs } = run({ ...base, bnSplits: 2 });
    const image = images.slice(1).reduce((a, b) => a * b, 1);
    const means = [0, 1].map((group) => {
      const rows = [0, 1, 2, 3].map((i) => (2 * i + group) * image);
      const data = Float32Array.from(rows.flatMap((at) => [...views.xk.data.subarray(at, at + image)]));
      const x = { shape: [batch / 2, ...images.slice(1)], data };
      const alone = encodeAlone(followed(state), x, 1);
      [0, 1, 2, 3].forEach((i) => {
        expect(outputs['next.queue']!.data[2 * i + group]).toBeCloseTo(alone.keys!.data[i * dim]!, 10);
      });
      return alone;
    });
    for (const buffer of ['bn1.running_mean', 'bn1.running_var'])
      outputs[`next.k.${buffer}`]!.data.forEach((value, i) => {
        expect(value).toBeCloseTo((means[0]![buffer]!.data[i]! + means[1]![buffer]!.data[i]!) / 2, 10);
      });
  });
});

describe('symmetric', () => {
  const { state, outputs } = run({ ...base, symmetric: true });
  it('adds the loss of the exchanged views, both against the queue before the step', () => {
    const one = run(base, {}, state).outputs.loss!.data[0]!;
    const other = run(base, { xq: views.xk, xk: views.xq }, state).outputs.loss!.data[0]!;
    expect(outputs.loss!.data[0]).toBeCloseTo(one + other, 10);
  });
  it('puts the keys of the first view into the queue, then those of the second', () => {
    const first = encodeAlone(followed(state), views.xq, 1).keys!;
    const second = encodeAlone(followed(state), views.xk, 1).keys!;
    for (let i = 0; i < batch; i++) {
      expect(outputs['next.queue']!.data[i]).toBeCloseTo(first.data[i * dim]!, 10);
      expect(outputs['next.queue']!.data[batch + i]).toBeCloseTo(second.data[i * dim]!, 10);
    }
    expect(outputs['next.queue_ptr']!.data[0]).toBe(2 * batch);
  });
  it('moves the running statistics twice and the key encoder once', () => {
    const after = encodeAlone(under('q', state), views.xq, 1);
    const again = { ...under('q', state), 'bn1.running_mean': after['bn1.running_mean']! };
    const twice = encodeAlone(again, views.xk, 1)['bn1.running_mean']!;
    expectSame(outputs['next.q.bn1.running_mean']!, twice);
    expectSame(outputs['next.k.conv1.weight']!, followed(state)['conv1.weight']!);
  });
});

describe('mocoState', () => {
  it('starts both encoders equal, the pointer and the slots at 0', () => {
    const state = mocoState(base, 7);
    expect(under('k', state)).toEqual(under('q', state));
    expect(state.queue!.shape).toEqual([dim, queueSize]);
    expect([...state.queue_ptr!.data]).toEqual([0]);
    const slots = Object.keys(under('opt.momentum', state));
    expect(slots.sort()).toEqual(
      Object.keys(under('q', state))
        .filter((name) => !isBuffer(name))
        .sort(),
    );
    expect(mocoState(base, 7)).toEqual(state);
    expect(mocoState(base, 8)['q.conv1.weight']).not.toEqual(state['q.conv1.weight']);
  });
  it('names the head as the official checkpoints do', () => {
    const names = (mlp: boolean) =>
      Object.keys(mocoState({ ...base, mlp }, 0)).filter((name) => name.startsWith('q.fc'));
    expect(names(false)).toEqual(['q.fc.weight', 'q.fc.bias']);
    expect(names(true)).toEqual(['q.fc.0.weight', 'q.fc.0.bias', 'q.fc.2.weight', 'q.fc.2.bias']);
  });
});

describe('the step', () => {
  it('names its metrics and its state', () => {
    const { step, state } = run(base);
    const params = Object.keys(under('q', state)).filter((name) => !isBuffer(name));
    expect([...step.metrics].sort()).toEqual(
      ['acc1', 'acc5', 'featureStd', 'loss', ...params.map((name) => `grad.${name}`)].sort(),
    );
    expect(step.state.map(({ input }) => input)).toEqual(Object.keys(state));
    expect(step.state.every(({ input, output }) => output === `next.${input}`)).toBe(true);
    expect(run({ ...base, exposeGradients: false }).step.metrics).toHaveLength(4);
  });
  it('shows gradients where they are asked for', () => {
    const { exposeGradients: _, ...silent } = base;
    expect(run(silent).step.metrics).toHaveLength(4);
  });
  it('leaves frozen parameters alone in both encoders', () => {
    const config = { ...base, encoder: { ...encoder, frozen: () => ['conv1.weight'] } };
    const still = mocoStep(config, mocoState(config, 1)).state.filter(({ output }) => !output);
    expect(still.map(({ input }) => input)).toEqual(['q.conv1.weight', 'k.conv1.weight']);
  });
  it('is optimized: no stop is left, and no node without a reader', () => {
    const { step } = run(base);
    expect(step.graph.nodes.some(({ op }) => op === 'stopGradient')).toBe(false);
    const read = new Set([
      ...step.graph.nodes.flatMap(({ inputs }) => inputs),
      ...step.graph.outputs.map((o) => o.value),
    ]);
    expect(step.graph.nodes.every(({ outputs }) => outputs.some((id) => read.has(id)))).toBe(true);
  });
});

describe('settings that can not work', () => {
  const check = (more: Partial<MocoConfig>) => () => checkMoco({ ...base, ...more });
  it('K that is no multiple of the keys of a step: the message says which would be', () => {
    expect(check({ queueSize: 100, batch: 32 })).toThrow(UserError);
    expect(check({ queueSize: 100, batch: 32 })).toThrow(/mocoK 100.*32 keys.*nearest that fits is 96/);
    expect(check({ queueSize: 96, batch: 32, symmetric: true })).toThrow(/64 keys.*(64|128)/);
    expect(check({ queueSize: 10, batch: 64 })).toThrow(/nearest that fits is 64/);
    expect(check({ queueSize: 96, batch: 32 })).not.toThrow();
    expect(check({ queueSize: 32, batch: 32 })).not.toThrow();
    expect(check({ queueSize: 0, batch: 32 })).toThrow(/nearest that fits is 32/);
    expect(() => mocoStep({ ...base, queueSize: 30 }, stateOf(base))).toThrow(/mocoK 30/);
  });
  it('groups that do not divide the batch, or of one image', () => {
    expect(check({ bnSplits: 3 })).toThrow(/a batch of 8 can't be normalised in 3 groups/);
    expect(check({ bnSplits: 8 })).toThrow(UserError);
    expect(check({ bnSplits: 4 })).not.toThrow();
  });
});
