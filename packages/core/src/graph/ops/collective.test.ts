import { describe, expect, it } from 'vitest';
import { gradients } from '../../grad.ts';
import { optimize } from '../../passes/passes.ts';
import { withPrecision } from '../../passes/precision.ts';
import { interpret, interpretReplicas } from '../../reference/interpreter.ts';
import { tensor } from '../../tensor/tensor.ts';
import { trace } from '../trace.ts';
import {
  acrossReplicas,
  allGather,
  allReduce,
  collectives,
  fromFirst,
  ofFirstReplica,
  ownRows,
  replicaIndex,
} from './collective.ts';
import { add, cast, mul, stopGradient } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { sum } from './reduce.ts';

const rows = (...values: number[]) => ({ x: tensor(values, [values.length, 1]) });
const numbers = (results: Record<string, { data: Float64Array }>[], name: string) =>
  results.map((result) => [...result[name]!.data]);

describe('replicas', () => {
  it('sum, gather in their order, and know their number', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2, 1]);
      const [total, squares] = allReduce([x, sum(mul(x, x), [0, 1])], 3) as [typeof x, typeof x];
      const gathered = allGather(x, 3);
      const index = replicaIndex(builder, 3);
      return {
        total,
        squares,
        gathered,
        index,
        own: ownRows(gathered, 3),
        first: ofFirstReplica([x], 3)[0]!,
      };
    });
    const results = interpretReplicas(optimize(graph), [rows(1, 2), rows(3, 4), rows(5, 6)]);
    expect(numbers(results, 'total')).toEqual([
      [9, 12],
      [9, 12],
      [9, 12],
    ]);
    expect(numbers(results, 'squares')).toEqual([[91], [91], [91]]);
    expect(numbers(results, 'gathered')).toEqual(Array(3).fill([1, 2, 3, 4, 5, 6]));
    expect(numbers(results, 'index')).toEqual([[0], [1], [2]]);
    expect(numbers(results, 'own')).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect(numbers(results, 'first')).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
  });

  it("take replica 0's value, whatever the others have", () => {
    const graph = trace((builder) => ({ y: fromFirst(builder.input('x', [1, 1]), 2) }));
    expect(numbers(interpretReplicas(graph, [rows(7), rows(Number.NaN)]), 'y')).toEqual([[7], [0]]);
  });

  it('have the gradient of the sum of their losses', () => {
    // Of replica r: w_r sum(gathered^2) + w_r (sum over replicas of x)^2.
    const graph = trace((builder) => {
      const [x, w] = [builder.input('x', [2, 1]), builder.input('w', [])];
      const gathered = allGather(x, 2);
      const total = allReduce([x], 2)[0]!;
      const loss = mul(w, sum(mul(gathered, gathered), [0, 1]));
      const other = mul(w, sum(mul(total, total), [0, 1]));
      return { a: gradients(loss, [x])[0]!, b: gradients(other, [x])[0]! };
    });
    const results = interpretReplicas(graph, [
      { ...rows(1, 2), w: tensor([10], []) },
      { ...rows(3, 4), w: tensor([100], []) },
    ]);
    // (10 + 100) 2 x, and 110 times 2 (x of both).
    expect(numbers(results, 'a')).toEqual([
      [220, 440],
      [660, 880],
    ]);
    expect(numbers(results, 'b')).toEqual([
      [880, 1320],
      [880, 1320],
    ]);
  });

  it('meet in the order in which the graph was traced, whatever passes do', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2, 1]);
      const index = cast(replicaIndex(builder, 2), 'float32');
      const constant = allReduce([builder.constant(3)], 2)[0]!;
      const gathered = allGather(x, 2);
      allGather(mul(x, 2), 2);
      const twice = mul(stopGradient(allGather(x, 2)), add(index, constant));
      return { sum: add(gathered, twice), total: allReduce([x], 2)[0]! };
    });
    const optimized = optimize(graph);
    // The one that nothing reads is gone, equal ones are one, none is computed before there are replicas.
    expect(optimized.nodes.map(({ op }) => op).filter((op) => acrossReplicas.has(op))).toEqual([
      'replicaIndex',
      'allReduce',
      'allGather',
      'allReduce',
    ]);
    const given = [rows(1, 2), rows(3, 4)];
    expect(interpretReplicas(optimized, given)).toEqual(interpretReplicas(graph, given));
  });

  it('exchange float32, whatever the precision', () => {
    const graph = trace((builder) => {
      const [x, w] = [builder.input('x', [2, 3]), builder.input('w', [3, 3])];
      const gathered = allGather(matmul(x, w), 2);
      return { y: matmul(gathered, allReduce([matmul(w, w)], 2)[0]!) };
    });
    const reduced = withPrecision(graph, 'bf16');
    const met = reduced.nodes.filter(({ op }) => collectives.has(op));
    expect(met.map(({ op }) => op)).toEqual(['allGather', 'allReduce']);
    for (const id of met.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]))
      expect(reduced.values[id]!.dtype).toBe('float32');
    const products = reduced.nodes.filter(({ op }) => op === 'matmul');
    expect(products.map(({ inputs }) => reduced.values[inputs[0]!]!.dtype)).toEqual(
      Array(3).fill('bfloat16'),
    );
  });

  it('are as many as the graph was made for', () => {
    const graph = trace((builder) => ({ y: allGather(builder.input('x', [1, 1]), 2) }));
    expect(() => interpret(graph, rows(1))).toThrow(/of 2 replicas, 1 run/);
    expect(() => trace((builder) => ({ y: allGather(builder.input('x', []), 2) }))).toThrow(/no rows/);
    expect(() => trace((builder) => ({ y: replicaIndex(builder, 0) }))).toThrow(/is 0, no positive integer/);
    expect(() => trace((builder) => ({ y: allReduce([builder.input('x', [1], 'int32')], 2)[0]! }))).toThrow(
      /float32, got int32/,
    );
  });
});
