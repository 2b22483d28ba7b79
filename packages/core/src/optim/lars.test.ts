import { describe, expect, it } from 'vitest';
import { trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { lars } from './lars.ts';
import { createOptimizer, type Optimizer } from './optimizer.ts';
import { risingMomentum } from './schedule.ts';

/** One step from a velocity of zeros at a rate of 1: what it subtracts. */
function change(optimizer: Optimizer, parameter: number[], gradient: number[], shape: readonly number[]) {
  const graph = trace((builder) => {
    const input = (name: string) => builder.input(name, shape);
    const scalars = { lr: builder.input('lr', []) };
    const after = optimizer.update({
      parameter: input('p'),
      gradient: input('g'),
      slots: [input('mu')],
      scalars,
    });
    return { p: after.parameter, mu: after.slots[0]! };
  });
  const feed = (data: number[]) => ({ shape, data });
  const zeros = parameter.map(() => 0);
  const { p, mu } = interpret(graph, {
    ...{ p: feed(parameter), g: feed(gradient), mu: feed(zeros) },
    lr: { shape: [], data: [1] },
  });
  mu!.data.forEach((value, i) => {
    expect(value).toBeCloseTo(parameter[i]! - p!.data[i]!, 12);
  });
  return [...mu!.data];
}

// The states of whole runs are compared with PyTorch's in ssl/methods.test.ts.
describe('lars', () => {
  const optimizer = lars({ weightDecay: 0.5, trustCoefficient: 0.25 });

  it('moves a matrix by the trust coefficient of its own length, along the decayed gradient', () => {
    // g + p / 2 = (3, 4) of length 5; |p| = 10.
    expect(change(optimizer, [6, 8], [0, 0], [1, 2])).toEqual([1.5, 2]);
    for (const scale of [1, 1000]) {
      const moved = change(lars({ trustCoefficient: 0.25 }), [6, 8], [-4 * scale, 3 * scale], [2, 1]);
      expect(moved[0]).toBeCloseTo(-2, 12);
      expect(moved[1]).toBeCloseTo(1.5, 12);
    }
  });
  it('moves a vector by its bare gradient', () => {
    expect(change(optimizer, [6, 8], [2, -1], [2])).toEqual([2, -1]);
  });
  it('leaves the length of the step alone where there is none to measure by', () => {
    expect(change(optimizer, [0, 0], [2, -1], [1, 2])).toEqual([2, -1]);
    expect(change(lars(), [6, 8], [0, 0], [1, 2])).toEqual([0, 0]);
  });
  it('is found by its name', () => {
    const stepper = createOptimizer({ name: 'lars', weightDecay: 0.5, trustCoefficient: 0.25 });
    expect(change(stepper, [6, 8], [0, 0], [1, 2])).toEqual([1.5, 2]);
    expect(stepper.slots).toEqual(['mu']);
    expect(stepper.name).toBe('lars');
  });
});

describe('risingMomentum', () => {
  it('rises from the base to 1 by half a cosine', () => {
    const at = [0, 0.25, 0.5, 1].map((progress) => risingMomentum(0.99, progress));
    // 1 - m falls as (1 + cos(pi t)) / 2: 1, .8535..., .5, 0.
    [0.99, 1 - 0.01 * 0.8535533905932737, 0.995, 1].forEach((expected, i) => {
      expect(at[i]).toBeCloseTo(expected, 14);
    });
  });
});
