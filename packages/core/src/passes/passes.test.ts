import { describe, expect, it } from 'vitest';
import type { Graph } from '../graph/graph.ts';
import { add, exp, mul, neg, stopGradient, sub } from '../graph/ops/elementwise.ts';
import { batchNorm } from '../graph/ops/norm.ts';
import { sum } from '../graph/ops/reduce.ts';
import { broadcastTo, reshape, transpose } from '../graph/ops/shape.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { filled, type HostDType, tensor } from '../tensor/tensor.ts';
import {
  eliminateDeadCode,
  foldConstants,
  forgetGradientStops,
  optimize,
  type Pass,
  shareCommonSubexpressions,
} from './passes.ts';

const count = (graph: Graph, op?: string) => graph.nodes.filter((node) => !op || node.op === op).length;
const outputOf = (graph: Graph, feeds: Parameters<typeof interpret>[1]) => [
  ...interpret(graph, feeds).y!.data,
];

/** A graph with something for each pass: dead nodes, twins, constants among themselves, a stop. */
const busy = trace((builder) => {
  const x = builder.input('x', [2, 3]);
  const w = builder.input('w', [3]);
  exp(exp(x));
  const twins = add(mul(x, w), mul(x, w));
  const constant = mul(add(builder.constant(0.1), builder.constant(0.2)), 3);
  const [y, mean] = batchNorm(x, w, w, 1e-5);
  const [z] = batchNorm(x, w, w, 1e-5);
  const stopped = stopGradient(stopGradient(neg(twins)));
  return { y: sub(add(twins, constant), add(y, z)), stopped, mean, x, again: stopped };
});
const random = rng(0, 'passes');
const feeds = {
  x: { shape: [2, 3], data: Float64Array.from({ length: 6 }, random.normal) },
  w: { shape: [3], data: Float64Array.from({ length: 3 }, random.normal) },
};

const passes: Record<string, Pass> = {
  eliminateDeadCode,
  foldConstants,
  forgetGradientStops,
  shareCommonSubexpressions,
  optimize,
};
describe.each(Object.entries(passes))('%s', (_, pass) => {
  it('keeps the meaning, the inputs and the names of the outputs', () => {
    const after = pass(busy);
    expect(after.inputs).toEqual(busy.inputs);
    expect(after.outputs.map(({ name }) => name)).toEqual(busy.outputs.map(({ name }) => name));
    const [expected, actual] = [interpret(busy, feeds), interpret(after, feeds)];
    for (const [name, { shape, data }] of Object.entries(expected)) {
      expect(actual[name]!.shape).toEqual(shape);
      // Folding rounds to float32 once; 0.9 is the one constant here.
      data.forEach((value, i) => {
        expect(actual[name]!.data[i]!).toBeCloseTo(value, 6);
      });
    }
  });
  it('leaves the graph that it is given as it is', () => {
    const before = JSON.stringify(busy);
    pass(busy);
    expect(JSON.stringify(busy)).toBe(before);
  });
  it('finds nothing more the second time', () => {
    const once = pass(busy);
    expect(count(pass(once))).toBe(count(once));
  });
});

it('optimize leaves what is needed and no more', () => {
  const after = optimize(busy);
  // mul, add (twins), 0.9, batchNorm, neg, add, add, sub
  expect(after.nodes.map(({ op }) => op).sort()).toEqual(
    ['add', 'add', 'add', 'batchNorm', 'constant', 'mul', 'neg', 'sub'].sort(),
  );
});

describe('dead code', () => {
  it('goes with all that only it needs', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [2]);
      neg(exp(exp(x)));
      return { y: neg(x) };
    });
    expect(eliminateDeadCode(graph).nodes.map(({ op }) => op)).toEqual(['neg']);
  });
  it('keeps a node of which one output is used', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [4, 2]);
      const w = builder.input('w', [2]);
      return { variance: batchNorm(x, w, w, 1e-5)[2] };
    });
    expect(count(eliminateDeadCode(graph))).toBe(1);
  });
});

describe('common subexpressions', () => {
  const shared = (body: (x: Traced) => Traced[]) => {
    const graph = trace((builder) => {
      const values = body(builder.input('x', [2, 3]));
      return Object.fromEntries(values.map((value, i) => [`y${i}`, value]));
    });
    return shareCommonSubexpressions(graph);
  };
  it('are computed once, chains of them too', () => {
    const graph = shared((x) => [exp(neg(x)), exp(neg(x))]);
    expect(count(graph)).toBe(2);
    expect(graph.outputs[0]!.value).toBe(graph.outputs[1]!.value);
  });
  it('have the same inputs in the same order, and the same attributes', () => {
    expect(
      count(
        shared((x) => [sub(exp(x), x), sub(x, exp(x))]),
        'sub',
      ),
    ).toBe(2);
    expect(count(shared((x) => [sum(x, [0]), sum(x, [1]), sum(x, [0], true)]))).toBe(3);
    expect(
      count(
        shared((x) => [transpose(reshape(x, [3, 2])), reshape(x, [3, 2])]),
        'reshape',
      ),
    ).toBe(1);
  });
  it('are constants of one type, shape and content', () => {
    const constants = (...values: [number[], number[], HostDType][]) =>
      count(
        shared(({ builder }) =>
          values.map(([data, shape, dtype]) => builder.constant(tensor(data, shape, dtype))),
        ),
      );
    expect(constants([[1, 2], [2], 'float32'], [[1, 2], [2], 'float32'])).toBe(1);
    expect(constants([[1, 2], [2], 'float32'], [[1, 3], [2], 'float32'])).toBe(2);
    expect(constants([[1, 2], [2], 'float32'], [[1, 2], [2, 1], 'float32'])).toBe(2);
    expect(constants([[1, 2], [2], 'float32'], [[1, 2], [2], 'int32'])).toBe(2);
    expect(constants([[0], [], 'float32'], [[-0], [], 'float32'])).toBe(2);
  });
  it('are constants of up to 64 elements: larger ones are not looked through', () => {
    const twins = (size: number) =>
      count(shared(({ builder }) => [0, 1].map(() => builder.constant(filled([size], 1)))));
    expect([64, 65].map(twins)).toEqual([1, 2]);
  });
  it('may name their attributes in any order', () => {
    const both = shared((x) => [
      ...x.builder.emit('sum', [x], { axes: [0], keepDims: true }),
      ...x.builder.emit('sum', [x], { keepDims: true, axes: [0] }),
    ]);
    expect(count(both)).toBe(1);
  });
});

describe('constant folding', () => {
  const folded = (body: Parameters<typeof trace>[0]) => foldConstants(trace(body));
  it('computes in float64 and rounds once', () => {
    const graph = folded((builder) => {
      const sum = add(builder.constant(1), 1e-10);
      return { y: mul(sub(sum, 1), builder.constant(2)) };
    });
    // Each node is rounded, as it would be at run time: 1 + 1e-10 is 1 in float32.
    expect(outputOf(eliminateDeadCode(graph), {})).toEqual([0]);
    expect(count(eliminateDeadCode(graph))).toBe(1);
  });
  it('leaves what depends on an input', () => {
    const graph = folded((builder) => ({ y: add(neg(builder.constant(2)), builder.input('x', [])) }));
    expect(graph.nodes.map(({ op }) => op)).toEqual(['constant', 'constant', 'add']);
    expect(outputOf(graph, { x: { shape: [], data: [5] } })).toEqual([3]);
  });
  it('folds a node that reads one constant twice', () => {
    const graph = folded((builder) => {
      const three = builder.constant(3);
      return { y: mul(three, three) };
    });
    expect(count(graph, 'mul')).toBe(0);
    expect(outputOf(graph, {})).toEqual([9]);
  });
  it('leaves large results to run time', () => {
    const graph = folded((builder) => ({
      y: broadcastTo(builder.constant(1), [2000]),
      small: broadcastTo(builder.constant(1), [1024]),
      large: neg(builder.constant(filled([2000], 1))),
    }));
    expect(count(graph, 'broadcastTo')).toBe(1);
    expect(count(graph, 'neg')).toBe(1);
  });
  it('reads large constants, and leaves nodes of several outputs', () => {
    const total = folded((builder) => ({ y: sum(builder.constant(filled([2000], 1))) }));
    expect(eliminateDeadCode(total).nodes).toMatchObject([{ op: 'constant', inputs: [] }]);
    expect(outputOf(total, {})).toEqual([2000]);
    const statistics = folded((builder) => {
      const [one, x] = [filled([1], 1), tensor([1, 3], [2, 1])].map((value) => builder.constant(value));
      return { y: batchNorm(x!, one!, one!, 1e-5)[1] };
    });
    expect(outputOf(statistics, {})).toEqual([2]);
  });
});

it('forgetting stops redirects outputs and readers', () => {
  const graph = forgetGradientStops(
    trace((builder) => {
      const x = builder.input('x', [2]);
      return { y: neg(stopGradient(x)), z: stopGradient(stopGradient(x)) };
    }),
  );
  expect(graph.nodes.map(({ op }) => op)).toEqual(['neg']);
  expect(graph.outputs[1]!.value).toBe(graph.inputs[0]!.value);
});
