import { expect, it } from 'vitest';
import { gradients } from '../grad.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { sum } from '../graph/ops/reduce.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { emaUpdate } from './ema.ts';

const vector = (...data: number[]) => ({ shape: [data.length], data });
const names = ['w', 'still', 'bn.running_mean'];

function run(fed: boolean) {
  const graph = trace((builder) => {
    const inputs = (side: string): Record<string, Traced> =>
      Object.fromEntries(names.map((name) => [name, builder.input(`${side}.${name}`, [2])]));
    const [k, q] = [inputs('k'), inputs('q')];
    const both = { ...q, 'predictor.w': builder.input('p', [2]) };
    const momentum = fed ? builder.input('m', []) : 0.75;
    const after = emaUpdate(k, both, momentum, new Set(['still']));
    const loss = sum(mul(after.w!, after.w!));
    return { ...after, gradient: gradients(loss, [q.w!])[0]! };
  });
  const feeds = Object.fromEntries(
    names.flatMap((name) => [
      [`k.${name}`, vector(4, 8)],
      [`q.${name}`, vector(0, -8)],
    ]),
  );
  return interpret(graph, { ...feeds, p: vector(1, 1), ...(fed ? { m: { shape: [], data: [0.75] } } : {}) });
}

it.each([false, true])('averages parameters alone, momentum fed: %s', (fed) => {
  const { gradient, ...after } = run(fed);
  expect(Object.fromEntries(Object.entries(after).map(([name, { data }]) => [name, [...data]]))).toEqual({
    w: [3, 4],
    still: [4, 8],
    'bn.running_mean': [4, 8],
  });
  expect([...gradient!.data]).toEqual([0, 0]);
});
