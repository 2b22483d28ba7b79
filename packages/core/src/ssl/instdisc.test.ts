import { describe, expect, it } from 'vitest';
import { defineEncoder } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initConv } from '../nn/init.ts';
import { conv } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { type Feed, interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import {
  checkInstDisc,
  drawNegatives,
  type InstDiscConfig,
  initBank,
  instDiscState,
  instDiscStep,
} from './instdisc.ts';

const [batch, dim, slots, negatives] = [4, 4, 16, 6];
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
const base: InstDiscConfig = {
  ...{ encoder, encoderConfig: { imageSize: 4 }, batch, dim, mlp: false, bnSplits: 1 },
  ...{ slots, negatives, draw: 'batch', loss: 'nce', temperature: 0.5, bankMomentum: 0.5, optimizer: sgd() },
};
const index = [9, 2, 15, 0];
const noise = rng(4, 'pictures');
const xq = { shape: [batch, 3, 4, 4], data: Float32Array.from({ length: batch * 48 }, noise.normal) };

function run(config: InstDiscConfig, feeds: Record<string, Feed> = {}) {
  const state = instDiscState(config, 1);
  return {
    state,
    outputs: interpret(instDiscStep(config, state).graph, {
      ...state,
      xq,
      index: { shape: [batch], data: index },
      negatives: drawNegatives(config, 1, 0),
      lr: { shape: [], data: [0.5] },
      ...feeds,
    }),
  };
}
const rowsOf = ({ data }: Feed) =>
  Array.from({ length: slots }, (_, slot) => Array.from({ length: dim }, (_, d) => data[slot * dim + d]!));
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((total, x, i) => total + x * b[i]!, 0);

/** The features of the batch, found from a bank that keeps nothing of its old values. */
function features(): number[][] {
  const after = rowsOf(run({ ...base, bankMomentum: 0 }).outputs['next.bank']!);
  return index.map((slot) => after[slot]!);
}

describe('the bank', () => {
  const { state, outputs } = run(base);
  const [before, after] = [rowsOf(state.bank!), rowsOf(outputs['next.bank']!)];

  it('starts as points on the sphere', () => {
    for (const row of rowsOf(initBank(slots, dim, 3))) expect(dot(row, row)).toBeCloseTo(1, 6);
    expect(initBank(slots, dim, 3)).not.toEqual(initBank(slots, dim, 4));
  });
  it("takes the middle of a slot's old value and the new feature, at unit length", () => {
    features().forEach((feature, i) => {
      const middle = feature.map((x, d) => 0.5 * before[index[i]!]![d]! + 0.5 * x);
      const length = Math.sqrt(dot(middle, middle));
      middle.forEach((x, d) => {
        expect(after[index[i]!]![d]).toBeCloseTo(x / length, 12);
      });
    });
  });
  it('keeps all other slots to the bit', () => {
    before.forEach((row, slot) => {
      if (!index.includes(slot)) expect(after[slot]).toEqual(row);
    });
  });
});

describe('the loss', () => {
  const drawn = drawNegatives(base, 1, 0);
  const bank = rowsOf(instDiscState(base, 1).bank!);
  const exponentials = features().map((v, i) => ({
    own: Math.exp(dot(v, bank[index[i]!]!) / 0.5),
    others: [...drawn.data].map((slot) => Math.exp(dot(v, bank[slot]!) / 0.5)),
  }));
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  it('estimates Z from the first batch, and keeps it', () => {
    const z = slots * average(exponentials.flatMap(({ others }) => others));
    expect(run(base).outputs['next.bank_z']!.data[0]).toBeCloseTo(z, 10);
    const kept = { bank_z: { shape: [], data: [12.5] } };
    expect(run(base, kept).outputs['next.bank_z']!.data[0]).toBe(12.5);
    expect(run(base, kept).outputs.loss!.data[0]).not.toBeCloseTo(run(base).outputs.loss!.data[0]!, 3);
  });
  it('is that of the paper, by its quotients', () => {
    const z = 12.5;
    const h = (x: number) => x / z / (x / z + negatives / slots);
    const losses = exponentials.map(
      ({ own, others }) => -Math.log(h(own)) - others.reduce((sum, x) => sum + Math.log(1 - h(x)), 0),
    );
    const { loss } = run(base, { bank_z: { shape: [], data: [z] } }).outputs;
    expect(loss!.data[0]).toBeCloseTo(average(losses), 10);
  });
  it('has no Z as InfoNCE', () => {
    const { state, outputs } = run({ ...base, loss: 'infonce' });
    expect(state).not.toHaveProperty('bank_z');
    const losses = exponentials.map(
      ({ own, others }) => -Math.log(own / (own + others.reduce((a, b) => a + b))),
    );
    expect(outputs.loss!.data[0]).toBeCloseTo(average(losses), 10);
  });
  it('is the same by a draw for each image, if they draw alike', () => {
    const data = Array.from({ length: batch }, () => [...drawn.data]).flat();
    const each = run({ ...base, draw: 'image' }, { negatives: { shape: [batch, negatives], data } }).outputs;
    expect(each.loss!.data[0]).toBeCloseTo(run(base).outputs.loss!.data[0]!, 12);
  });
  it('adds the squared way from the slot as the proximal term', () => {
    const moved = features().map((v, i) => {
      const way = v.map((x, d) => x - bank[index[i]!]![d]!);
      return dot(way, way);
    });
    const [without, withTerm] = [0, 8].map((proximal) => run({ ...base, proximal }).outputs.loss!.data[0]!);
    expect(withTerm! - without!).toBeCloseTo(8 * average(moved), 10);
  });
});

describe('drawNegatives', () => {
  it('draws over all slots, anew for each step and the same again', () => {
    const config = { batch, slots, negatives: 4000, draw: 'batch' } as const;
    const { shape, dtype, data } = drawNegatives(config, 1, 0);
    expect(dtype).toBe('int32');
    expect(shape).toEqual([4000]);
    expect(drawNegatives({ ...config, draw: 'image' }, 1, 0).shape).toEqual([batch, 4000]);
    const counts = Array.from({ length: slots }, (_, slot) => data.filter((x) => x === slot).length);
    expect(counts.reduce((a, b) => a + b)).toBe(4000);
    // 250 expected; a binomial deviation is 15.3, and five of them.
    for (const count of counts) expect(Math.abs(count - 250)).toBeLessThan(77);
    expect(drawNegatives(config, 1, 0).data).toEqual(data);
    expect(drawNegatives(config, 1, 1).data).not.toEqual(data);
  });
});

describe('the step', () => {
  it('writes all of the state, and leaves frozen parameters alone', () => {
    const states = (config: InstDiscConfig) => instDiscStep(config, instDiscState(config, 1)).state;
    expect(states(base).every(({ input, output }) => output === `next.${input}`)).toBe(true);
    const frozen = states({ ...base, encoder: { ...encoder, frozen: () => ['conv1.weight'] } });
    expect(frozen.filter(({ output }) => !output).map(({ input }) => input)).toEqual(['q.conv1.weight']);
    expect(frozen.some(({ input }) => input === 'opt.momentum.conv1.weight')).toBe(false);
  });
  it('shows gradients where they are asked for', () => {
    const metrics = (config: InstDiscConfig) => instDiscStep(config, instDiscState(config, 1)).metrics;
    expect([...metrics(base)].sort()).toEqual(['acc1', 'acc5', 'featureStd', 'loss']);
    expect(metrics({ ...base, exposeGradients: true })).toContain('grad.conv1.weight');
  });
});

describe('settings that can not work', () => {
  const check = (more: Partial<InstDiscConfig>) => () => checkInstDisc({ ...base, ...more });
  it('a batch larger than the data set, no negatives, groups that do not divide the batch', () => {
    expect(check({ slots: 3 })).toThrow(UserError);
    expect(check({ slots: 3 })).toThrow(/a batch of 4 .* the 3 of the data set/);
    expect(check({ negatives: 0 })).toThrow(/mocoK 0/);
    expect(check({ bnSplits: 3 })).toThrow(/3 groups/);
    expect(check({})).not.toThrow();
    expect(check({ slots: batch, negatives: 1 })).not.toThrow();
  });
});
