import { describe, expect, it } from 'vitest';
import { UserError } from '../errors.ts';
import { trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { adamw } from './adamw.ts';
import { createOptimizer, type Optimizer, registerOptimizer } from './optimizer.ts';
import { learningRate } from './schedule.ts';
import { sgd } from './sgd.ts';

const start = [1, -2, 0.5];
const gradients = [
  [0.5, -1, 2],
  [0.25, 0, -3],
  [-0.125, 4, 1],
  [1.5, -2, 0.5],
];
const rates = [0.1, 0.1, 0.05, 0.02];

/** The parameters after each of the four steps. */
function run(optimizer: Optimizer): number[][] {
  const names = Object.keys(optimizer.scalars(1, 0));
  const graph = trace((builder) => {
    const scalars = Object.fromEntries(names.map((name) => [name, builder.input(name, [])]));
    const slots = optimizer.slots.map((slot) => builder.input(slot, [3]));
    const [parameter, gradient] = [builder.input('p', [3]), builder.input('g', [3])];
    const after = optimizer.update({ parameter, gradient, slots, scalars });
    return {
      p: after.parameter,
      ...Object.fromEntries(after.slots.map((slot, i) => [optimizer.slots[i]!, slot])),
    };
  });
  const shape = [3];
  let state: Record<string, { shape: readonly number[]; data: ArrayLike<number> }> = {
    p: { shape, data: start },
  };
  for (const slot of optimizer.slots) state[slot] = { shape, data: [0, 0, 0] };
  return gradients.map((g, i) => {
    const scalars = Object.entries(optimizer.scalars(rates[i]!, i));
    const fed = Object.fromEntries(scalars.map(([name, value]) => [name, { shape: [], data: [value] }]));
    state = interpret(graph, { ...state, ...fed, g: { shape, data: g } });
    return [...Array.from(state.p!.data)];
  });
}

/** The digits agree up to the rounding of the graph's constants to float32, such as beta = 0.9. */
function expectSame(actual: number[][], expected: number[][]): void {
  actual.flat().forEach((value, i) => {
    expect(Math.abs(value - expected.flat()[i]!)).toBeLessThan(2e-6);
  });
}

// The same steps by torch.optim of PyTorch 2.15 in float64.
describe('sgd', () => {
  it('with momentum', () => {
    expectSame(run(sgd({ momentum: 0.9 })), [
      [0.95, -1.9, 0.3],
      [0.88, -1.81, 0.42],
      [0.85475, -1.9695, 0.424],
      [0.81566, -1.98692, 0.41544],
    ]);
  });
  it('with momentum and weight decay', () => {
    expectSame(run(sgd({ momentum: 0.9, weightDecay: 0.01 })), [
      [0.949, -1.898, 0.2995],
      [0.877151, -1.804302, 0.4187505],
      [0.8506303745, -1.961235749, 0.42220384975],
      [0.8109128232451, -1.9773396514902, 0.41336261489005005],
    ]);
  });
});

describe('adamw', () => {
  it("by PyTorch's defaults, decay 0.1", () => {
    expectSame(run(adamw({ weightDecay: 0.1 })), [
      [0.890000002, -1.880000001, 0.3950000005],
      [0.7878820404574624, -1.7941941765241887, 0.41582018201126875],
      [0.7557595622804996, -1.8099367999645775, 0.4144244164722877],
      [0.740097904001305, -1.8085270018011859, 0.41227636659486827],
    ]);
  });
  it('with other betas and epsilon, without decay', () => {
    expectSame(run(adamw({ betas: [0.8, 0.95], epsilon: 1e-3, weightDecay: 0 })), [
      [0.9001996007984032, -1.9000999000999002, 0.40004997501249373],
      [0.8083680960093079, -1.836515406595747, 0.4303957598360322],
      [0.7835114899273435, -1.8647888324938173, 0.43154007106220515],
      [0.7686471959472275, -1.8667926489257722, 0.4300645299662273],
    ]);
  });
});

describe('createOptimizer', () => {
  it('finds by name', () => {
    expect(run(createOptimizer({ name: 'sgd', weightDecay: 0.01 }))).toEqual(run(sgd({ weightDecay: 0.01 })));
    expect(createOptimizer({ name: 'adamw' }).slots).toEqual(['exp_avg', 'exp_avg_sq']);
  });
  it.each(['sgd', 'adamw'])('%s goes by the name it is asked for', (name) => {
    expect(createOptimizer({ name }).name).toBe(name);
  });
  it('lists the known names for an unknown one', () => {
    expect(() => createOptimizer({ name: 'sdg' })).toThrow(UserError);
    registerOptimizer('adagrad', () => sgd());
    expect(() => createOptimizer({ name: 'sdg' })).toThrow(/"sdg"; known are: adagrad, adamw, sgd$/);
  });
});

describe('learningRate', () => {
  it('falls to a tenth at each milestone (MoCo v1: 120 and 160 of 200)', () => {
    const schedule = { cosine: false, milestones: [120, 160], epochs: 200 };
    const at = [0, 119, 120, 159, 160, 199].map((epoch) => learningRate(0.03, schedule, epoch));
    [0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003].forEach((expected, i) => {
      expect(at[i]).toBeCloseTo(expected, 12);
    });
  });
  it('falls by half a cosine (MoCo v2)', () => {
    const schedule = { cosine: true, milestones: [120, 160], epochs: 200 };
    const at = [0, 50, 100, 150, 199].map((epoch) => learningRate(0.03, schedule, epoch) / 0.03);
    // (1 + cos(pi t)) / 2 at 0, 1/4, 1/2, 3/4, and near 1: (pi / 400)^2.
    [1, 0.8535533905932737, 0.5, 0.14644660940672627, 6.168e-5].forEach((expected, i) => {
      expect(at[i]).toBeCloseTo(expected, 8);
    });
  });
  it('rises in a line through the warm-up, and the cosine starts behind it (MoCo v3)', () => {
    const schedule = { cosine: true, milestones: [], epochs: 300, warmupEpochs: 40 };
    const at = [0, 10, 39.5, 40, 170, 300].map((epoch) => learningRate(2, schedule, epoch));
    [0, 0.5, 1.975, 2, 1, 0].forEach((expected, i) => {
      expect(at[i]).toBeCloseTo(expected, 12);
    });
  });
});
