import { describe, expect, it } from 'vitest';
import { filled, tensor } from '../tensor/tensor.ts';
import { consumers, portType, producers } from './graph.ts';
import { defineOp, opNamed, opNames } from './op.ts';
import { add, broadcastTo, cast, exp, layerNorm, reshape } from './ops/index.ts';
import { GraphBuilder, trace } from './trace.ts';

describe('trace', () => {
  it('records nodes in order, with types', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2, 3]);
      return { y: cast(exp(add(x, 1)), 'int32') };
    });
    expect(graph.nodes.map(({ op }) => op)).toEqual(['constant', 'add', 'exp', 'cast']);
    expect(portType(graph, graph.inputs, 'x')).toEqual({ shape: [2, 3], dtype: 'float32' });
    expect(portType(graph, graph.outputs, 'y')).toEqual({ shape: [2, 3], dtype: 'int32' });
    expect(() => portType(graph, graph.outputs, 'z')).toThrow(/"z"/);
  });
  it('knows who makes a value and who reads it', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2]);
      return { y: add(exp(x), exp(x)), z: add(x, x) };
    });
    const x = graph.inputs[0]!.value;
    expect(producers(graph).get(x)).toBeUndefined();
    expect(producers(graph).get(graph.outputs[0]!.value)!.op).toBe('add');
    expect(
      consumers(graph)
        .get(x)!
        .map(({ op }) => op),
    ).toEqual(['exp', 'exp', 'add']);
  });
  it('refuses a name twice', () => {
    const builder = new GraphBuilder();
    const x = builder.input('x', [2]);
    expect(() => builder.input('x', [3])).toThrow(/two inputs are named "x"/);
    builder.output('y', x);
    expect(() => builder.output('y', x)).toThrow(/two outputs are named "y"/);
  });
  it('refuses operands of two graphs, unknown ops and numbers alone', () => {
    const x = new GraphBuilder().input('x', [2]);
    const builder = new GraphBuilder();
    const y = builder.input('y', [2]);
    expect(() => add(x, y)).toThrow(/belongs to another graph/);
    expect(() => builder.emit('noSuchOp', [y])).toThrow(/no op named "noSuchOp"/);
    expect(() => builder.emit('noSuchOp', [y])).toThrow(RangeError);
    expect(() => add(1, 2)).toThrow(/at least one traced operand/);
  });
  it('leaves out reshapes, broadcasts and casts that change nothing', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2, 3]);
      return { a: reshape(x, [2, 3]), b: broadcastTo(x, [2, 3]), c: cast(x, 'float32') };
    });
    expect(graph.nodes).toEqual([]);
  });
});

describe('layerNorm', () => {
  it('has statistics for each row', () => {
    const builder = new GraphBuilder();
    const vector = builder.input('v', [4]);
    const [y, mean, inverse] = layerNorm(builder.input('x', [2, 3, 4]), vector, vector, 1e-5);
    expect([y, mean, inverse].map(({ shape }) => shape)).toEqual([
      [2, 3, 4],
      [2, 3, 1],
      [2, 3, 1],
    ]);
  });
});

describe('ops', () => {
  it('are listed by name', () => {
    const names = opNames();
    expect(names).toEqual([...names].sort());
    expect(names).toEqual(expect.arrayContaining(['add', 'conv2d', 'updateSlice']));
  });
  it('have one name each, and a gradient or a reason', () => {
    expect(() => defineOp({ ...opNamed('add') })).toThrow(/"add" is defined already/);
    expect(() => defineOp({ name: 'halfDefined', infer: () => [] })).toThrow(
      /"halfDefined" needs a gradient/,
    );
  });
});

describe('tensors', () => {
  it('must be full', () => {
    expect(() => tensor([1, 2, 3], [2, 2])).toThrow("3 values don't fill the shape [2, 2]");
  });
  it('keep an array of their own type, and copy others', () => {
    const data = new Float32Array(4);
    expect(tensor(data, [4]).data).toBe(data);
    expect(tensor(data, [4], 'int32').data).toEqual(new Int32Array(4));
    expect(filled([2], 7, 'uint8').data).toEqual(Uint8Array.of(7, 7));
  });
});
