import { describe, expect, it } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import {
  add,
  broadcastTo,
  cast,
  concat,
  equal,
  erf,
  gather,
  greater,
  greaterEqual,
  less,
  matmul,
  max,
  mean,
  mul,
  neg,
  pad,
  reshape,
  scatterAdd,
  select,
  slice,
  sum,
  transpose,
  updateSlice,
} from '../graph/ops/index.ts';
import { type Traced, trace } from '../graph/trace.ts';
import type { HostDType } from '../tensor/tensor.ts';
import { type Feed, interpret } from './interpreter.ts';

describe('the oracle', () => {
  it('computes in float64', () => {
    const graph = trace((builder) => ({ y: add(builder.input('x', [1]), builder.input('z', [1])) }));
    const { y } = interpret(graph, { x: { shape: [1], data: [1] }, z: { shape: [1], data: [1e-12] } });
    expect(y!.data[0]).toBe(1 + 1e-12);
  });
  it('has erf to the last digits', () => {
    // Python's math.erf.
    const known = [
      [-3, -0.9999779095030014],
      [-2.5, -0.999593047982555],
      [-0.3, -0.3286267594591274],
      [0, 0],
      [1e-3, 0.0011283787909692365],
      [0.7, 0.6778011938374184],
      [2.49, 0.9995707121322661],
      [2.51, 0.9996142945182758],
      [4, 0.9999999845827421],
    ] as const;
    const graph = trace((builder) => ({ y: erf(builder.input('x', [known.length])) }));
    const { y } = interpret(graph, { x: { shape: [known.length], data: known.map(([x]) => x) } });
    known.forEach(([, expected], i) => {
      expect(Math.abs(y!.data[i]! - expected)).toBeLessThan(1e-15);
    });
  });
  it('truncates casts toward zero', () => {
    const graph = trace((builder) => ({ y: cast(builder.input('x', [4]), 'int32') }));
    const { y } = interpret(graph, { x: { shape: [4], data: [-1.9, -0.2, 0.9, 2.5] } });
    expect(Array.from(y!.data, (x) => x + 0)).toEqual([-1, 0, 0, 2]);
  });
  it('leaves its feeds as they are', () => {
    const graph = trace((builder) => ({ y: builder.input('x', [2]) }));
    const data = Float64Array.of(1, 2);
    interpret(graph, { x: { shape: [2], data } }).y!.data.fill(9);
    expect([...data]).toEqual([1, 2]);
  });
  it('names what is missing', () => {
    const graph = trace((builder) => ({ y: builder.input('x', [2]) }));
    expect(() => interpret(graph, {})).toThrow(/"x"/);
    expect(() => interpret(graph, { x: { shape: [3], data: [1, 2, 3] } })).toThrow(
      /"x" is of the shape \[3\]/,
    );
    const strange: Graph = { ...graph, nodes: [{ op: 'noSuchOp', inputs: [0], outputs: [0], attrs: {} }] };
    expect(() => interpret(strange, { x: { shape: [2], data: [1, 2] } })).toThrow(/noSuchOp/);
  });
});

// Where PyTorch's fixture says nothing: ops that move data, worked out by hand.
describe('ops that move data', () => {
  type Body = (x: Traced, z: Traced) => Traced;
  const six = { shape: [2, 3], data: [1, 2, 3, 4, 5, 6] };
  const run = (
    body: Body,
    x: Feed = six,
    z: Feed = { shape: [], data: [0] },
    dtype: HostDType = 'float32',
  ) => {
    const graph = trace((builder) => ({
      y: body(builder.input('x', x.shape), builder.input('z', z.shape, dtype)),
    }));
    const { shape, data } = interpret(graph, { x, z }).y!;
    return [shape, [...data]];
  };
  it('transpose', () => {
    expect(run((x) => transpose(x))).toEqual([
      [3, 2],
      [1, 4, 2, 5, 3, 6],
    ]);
    const x = { shape: [2, 1, 3], data: six.data };
    expect(run((value) => transpose(value, [2, 0, 1]), x)).toEqual([
      [3, 2, 1],
      [1, 4, 2, 5, 3, 6],
    ]);
  });
  it('broadcastTo and reshape', () => {
    expect(run((x) => broadcastTo(x, [2, 2]), { shape: [2, 1], data: [1, 2] })[1]).toEqual([1, 1, 2, 2]);
    expect(run((x) => broadcastTo(x, [2, 2]), { shape: [2], data: [1, 2] })[1]).toEqual([1, 2, 1, 2]);
    expect(run((x) => reshape(x, [3, 2]))).toEqual([[3, 2], six.data]);
  });
  it('slice and pad', () => {
    expect(run((x) => slice(x, [0, 1], [2, 2]))).toEqual([
      [2, 2],
      [2, 3, 5, 6],
    ]);
    expect(run((x) => pad(x, [1, 0], [0, 1]))).toEqual([
      [3, 4],
      [0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0],
    ]);
  });
  it('concat', () => {
    const z = { shape: [2, 1], data: [7, 8] };
    expect(run((x, other) => concat([other, x, other], 1), six, z)).toEqual([
      [2, 5],
      [7, 1, 2, 3, 7, 8, 4, 5, 6, 8],
    ]);
    expect(run((x) => concat([x, x], 0))).toEqual([
      [4, 3],
      [...six.data, ...six.data],
    ]);
  });
  it('gather and scatterAdd', () => {
    const rows = { shape: [3], data: [1, 1, 0] };
    expect(run(gather, six, rows, 'int32')).toEqual([
      [3, 3],
      [4, 5, 6, 4, 5, 6, 1, 2, 3],
    ]);
    const x = { shape: [3, 2], data: six.data };
    expect(run((value, i) => scatterAdd(value, i, 3), x, rows, 'int32')).toEqual([
      [3, 2],
      [5, 6, 4, 6, 0, 0],
    ]);
  });
  it('updateSlice, which goes round at the end', () => {
    const write: Body = (x, start) =>
      updateSlice(x, mul(slice(x, [0, 0], [2, 2]), 10), cast(start, 'int32'), 1);
    expect(run(write, six, { shape: [], data: [0] }, 'int32')[1]).toEqual([10, 20, 3, 40, 50, 6]);
    expect(run(write, six, { shape: [], data: [2] }, 'int32')[1]).toEqual([20, 2, 10, 50, 5, 40]);
  });
  it('matmul with either side transposed', () => {
    const two = { shape: [2, 2], data: [1, 2, 3, 4] };
    const other = { shape: [2, 2], data: [5, 6, 7, 8] };
    const product = (transposeA: boolean, transposeB: boolean) =>
      run((a, b) => matmul(a, b, { transposeA, transposeB }), two, other)[1];
    expect(product(false, false)).toEqual([19, 22, 43, 50]);
    expect(product(true, false)).toEqual([26, 30, 38, 44]);
    expect(product(false, true)).toEqual([17, 23, 39, 53]);
    expect(product(true, true)).toEqual([23, 31, 34, 46]);
  });
  it('comparisons and select', () => {
    const [x, z] = [
      { shape: [3], data: [1, 2, 3] },
      { shape: [3], data: [2, 2, 2] },
    ];
    const truth = (op: (a: Traced, b: Traced) => Traced) => run((a, b) => op(a, b), x, z)[1];
    expect([truth(greater), truth(greaterEqual), truth(less), truth(equal)]).toEqual([
      [0, 0, 1],
      [0, 1, 1],
      [1, 0, 0],
      [0, 1, 0],
    ]);
    expect(run((a, b) => select(greater(a, b), a, -1), x, z)[1]).toEqual([-1, -1, 3]);
  });
  it('reductions', () => {
    expect(run((x) => sum(x, [0]))).toEqual([[3], [5, 7, 9]]);
    expect(run((x) => mean(x, [1], true))).toEqual([
      [2, 1],
      [2, 5],
    ]);
    expect(run((x) => max(neg(x)))).toEqual([[], [-1]]);
    expect(run((x) => sum(x, []))).toEqual([[2, 3], six.data]);
  });
});
