import { describe, expect, it } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { add, cast, erf } from '../graph/ops/elementwise.ts';
import { trace } from '../graph/trace.ts';
import { interpret } from './interpreter.ts';

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
