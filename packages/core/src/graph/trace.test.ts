import { describe, expect, it } from 'vitest';
import { ShapeError } from '../errors.ts';
import { type DType, filled, type Shape, tensor } from '../tensor/tensor.ts';
import { consumers, portType, producers } from './graph.ts';
import { defineOp, opNamed, opNames } from './op.ts';
import {
  add,
  batchNorm,
  broadcastTo,
  cast,
  concat,
  conv2d,
  conv2dFilterGrad,
  conv2dInputGrad,
  equal,
  exp,
  gather,
  matmul,
  maxPool2d,
  pad,
  reluGrad,
  reshape,
  scatterAdd,
  select,
  slice,
  sum,
  transpose,
  updateSlice,
} from './ops/index.ts';
import { GraphBuilder, type Traced, trace } from './trace.ts';

type Input = readonly [Shape, DType?];
function traced(inputs: readonly Input[], body: (...values: Traced[]) => Traced | Traced[]) {
  const builder = new GraphBuilder();
  return body(...inputs.map(([shape, dtype], i) => builder.input(`x${i}`, shape, dtype)));
}

/** What must be refused, and what the message must say beside the op and its operands. */
const refused: readonly [op: string, Input[], (...values: Traced[]) => Traced | Traced[], why: RegExp][] = [
  ['add', [[[2, 3]], [[4]]], (a, b) => add(a!, b!), /don't broadcast \(axis 1\)/],
  [
    'add',
    [
      [[2], 'int32'],
      [[2], 'int32'],
    ],
    (a, b) => add(a!, b!),
    /expected float32 operands, got int32/,
  ],
  ['exp', [[[2], 'int32']], (x) => exp(x!), /got int32/],
  ['equal', [[[2]], [[2], 'int32']], (a, b) => equal(a!, b!), /can't compare float32 with int32/],
  ['reluGrad', [[[2]], [[3]]], (a, b) => reluGrad(a!, b!), /one shape/],
  ['select', [[[2]], [[2]], [[2]]], (c, a, b) => select(c!, a!, b!), /must be bool/],
  ['select', [[[2], 'bool'], [[2]], [[2], 'int32']], (c, a, b) => select(c!, a!, b!), /float32 and int32/],
  ['matmul', [[[2, 3]], [[4, 5]]], (a, b) => matmul(a!, b!), /inner extents 3 and 4 differ/],
  ['matmul', [[[2, 3]], [[1, 3, 4]]], (a, b) => matmul(a!, b!), /one rank/],
  ['matmul', [[[2, 1, 3]], [[3, 3, 4]]], (a, b) => matmul(a!, b!), /leading axes differ/],
  ['matmul', [[[3]], [[3]]], (a, b) => matmul(a!, b!), /rank >= 2/],
  ['conv2d', [[[1, 3, 4, 4]], [[8, 4, 3, 3]]], (x, w) => conv2d(x!, w!), /3 channels in 1 groups/],
  [
    'conv2d',
    [[[1, 4, 4, 4]], [[6, 1, 3, 3]]],
    (x, w) => conv2d(x!, w!, { groups: 4 }),
    /4 channels in 4 groups/,
  ],
  ['conv2d', [[[1, 3, 2, 2]], [[8, 3, 3, 3]]], (x, w) => conv2d(x!, w!), /larger than the padded input/],
  ['conv2d', [[[3, 4, 4]], [[8, 3, 3, 3]]], (x, w) => conv2d(x!, w!), /\[N, C, H, W\]/],
  ['conv2d', [[[1, 3, 4, 4], 'int32'], [[8, 3, 3, 3]]], (x, w) => conv2d(x!, w!), /float32/],
  [
    'conv2dInputGrad',
    [[[1, 8, 4, 4]], [[8, 3, 3, 3]]],
    (dy, w) => conv2dInputGrad(dy!, w!, [1, 3, 4, 4]),
    /dy should be \[1, 8, 2, 2\], is \[1, 8, 4, 4\]/,
  ],
  [
    'conv2dFilterGrad',
    [[[1, 3, 4, 4]], [[2, 8, 2, 2]]],
    (x, dy) => conv2dFilterGrad(x!, dy!, [8, 3, 3, 3]),
    /dy should be \[1, 8, 2, 2\]/,
  ],
  [
    'maxPool2d',
    [[[1, 1, 4, 4]]],
    (x) => maxPool2d(x!, { kernel: 2, stride: 2, padding: 2 }),
    /half the kernel/,
  ],
  ['maxPool2d', [[[1, 1, 2, 2]]], (x) => maxPool2d(x!, { kernel: 3, stride: 2, padding: 0 }), /larger/],
  ['batchNorm', [[[2, 3]], [[2]], [[3]]], (x, g, b) => batchNorm(x!, g!, b!, 1e-5), /3 channels/],
  ['batchNorm', [[[3]], [[3]], [[3]]], (x, g, b) => batchNorm(x!, g!, b!, 1e-5), /\[N, C, \.\.\.\]/],
  ['sum', [[[2], 'int32']], (x) => sum(x!), /float32/],
  ['reshape', [[[2, 3]]], (x) => reshape(x!, [5]), /size of \[5\]/],
  ['transpose', [[[2, 3]]], (x) => transpose(x!, [0, 0]), /\[0, 0\] is no order of 2 axes/],
  ['transpose', [[[2, 3]]], (x) => transpose(x!, [0]), /no order/],
  ['broadcastTo', [[[2, 3]]], (x) => broadcastTo(x!, [3]), /can't broadcast to \[3\]/],
  ['broadcastTo', [[[2]]], (x) => broadcastTo(x!, [3]), /don't broadcast/],
  ['slice', [[[4]]], (x) => slice(x!, [2], [3]), /lies outside/],
  ['slice', [[[4]]], (x) => slice(x!, [0], [0]), /lies outside/],
  ['slice', [[[4, 4]]], (x) => slice(x!, [0], [2]), /lies outside/],
  ['pad', [[[4]]], (x) => pad(x!, [-1], [0]), /at least 0/],
  ['pad', [[[4, 4]]], (x) => pad(x!, [1], [0]), /each axis/],
  ['concat', [[[2, 3]], [[3, 3]]], (a, b) => concat([a!, b!], 1), /differ outside axis 1/],
  ['concat', [[[2]], [[2], 'int32']], (a, b) => concat([a!, b!], 0), /differ/],
  ['concat', [[[2, 3]], [[2, 3]]], (a, b) => concat([a!, b!], 2), /axis 2/],
  ['gather', [[[4, 2]], [[3]]], (x, i) => gather(x!, i!), /int32 \[M\]/],
  ['gather', [[[]], [[3], 'int32']], (x, i) => gather(x!, i!), /scalar/],
  ['scatterAdd', [[[4, 2]], [[3], 'int32']], (x, i) => scatterAdd(x!, i!, 9), /one for each row/],
  [
    'updateSlice',
    [[[4]], [[5]], [[], 'int32']],
    (x, u, s) => updateSlice(x!, u!, s!, 0),
    /longer than the target/,
  ],
  ['updateSlice', [[[4]], [[2]], [[]]], (x, u, s) => updateSlice(x!, u!, s!, 0), /int32 scalar/],
  [
    'updateSlice',
    [[[4, 2]], [[2, 3]], [[], 'int32']],
    (x, u, s) => updateSlice(x!, u!, s!, 0),
    /fit it outside/,
  ],
  ['updateSlice', [[[4]], [[4]], [[], 'int32']], (x, u, s) => updateSlice(x!, u!, s!, 1), /axis 1/],
];

describe('a shape that an op refuses', () => {
  it.each(refused)('%s %j', (op, inputs, body, why) => {
    const operands = inputs.map(([shape, dtype]) => `${dtype ?? 'float32'} [${shape.join(', ')}]`).join(', ');
    expect(() => traced(inputs, body)).toThrow(ShapeError);
    expect(() => traced(inputs, body)).toThrow(why);
    expect(() => traced(inputs, body)).toThrow(`${op}(${operands}): `);
  });
  it('is named for axes too', () => {
    expect(() => traced([[[2, 3]]], (x) => sum(x!, [2]))).toThrow(/axes \[2\] don't fit a tensor of rank 2/);
    expect(() => traced([[[2, 3]]], (x) => sum(x!, [0, -2]))).toThrow(/axes/);
  });
});

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
