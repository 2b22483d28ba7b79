import { describe, expect, it } from 'vitest';
import { gradients } from './grad.ts';
import type { Graph } from './graph/graph.ts';
import { barrier } from './graph/ops/barrier.ts';
import { allGather } from './graph/ops/collective.ts';
import { conv2d } from './graph/ops/conv.ts';
import { add, mul, neg, relu, tanh } from './graph/ops/elementwise.ts';
import { batchNorm } from './graph/ops/norm.ts';
import { mean, sum } from './graph/ops/reduce.ts';
import { type GraphBuilder, type Traced, trace } from './graph/trace.ts';
import { optimize } from './passes/passes.ts';
import { interpret } from './reference/interpreter.ts';
import { rng } from './rng.ts';
import { sizeOf } from './tensor/tensor.ts';

const shapes = { x: [4, 2, 6, 6], a: [3, 2, 3, 3], b: [3, 3, 3, 3], c: [3, 3, 3, 3], g: [3], h: [3] };
const feeds = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => {
    const random = rng(0, `recomputation/${name}`);
    return [name, { shape, data: Float64Array.from({ length: sizeOf(shape) }, () => random.normal()) }];
  }),
);

type Inputs = Readonly<Record<keyof typeof shapes, Traced>>;
type Network = (inputs: Inputs, end: (value: Traced) => Traced) => Traced;

/** Three blocks: a convolution with its normalisation, a residual one, and a convolution; the loss is of their mean. */
const network: Network = ({ x, a, b, c, g, h }, end) => {
  const normal = (value: Traced) => batchNorm(value, g, h, 1e-5)[0];
  const first = end(relu(normal(conv2d(x, a, { padding: 1 }))));
  const second = end(relu(add(first, tanh(normal(conv2d(first, b, { padding: 1 }))))));
  const third = end(relu(conv2d(second, c)));
  return sum(mul(mean(third, [2, 3]), mean(third, [2, 3])));
};

/** The loss and its gradients by all but x. */
function withGradients(
  body: Network,
  marks: boolean,
  by: readonly (keyof Inputs)[] = ['a', 'b', 'c', 'g', 'h'],
): Graph {
  const graph = trace((builder: GraphBuilder) => {
    const inputs = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, builder.input(name, shape)]),
    ) as unknown as Inputs;
    const end = (value: Traced) => {
      if (marks) builder.endBlock(value);
      return value;
    };
    const loss = body(inputs, end);
    const derivatives = gradients(
      loss,
      by.map((name) => inputs[name]),
    );
    return { loss, ...Object.fromEntries(by.map((name, i) => [`grad.${name}`, derivatives[i]!])) };
  });
  return optimize(graph);
}

const count = (graph: Graph, op: string) => graph.nodes.filter((node) => node.op === op).length;
const results = (graph: Graph) =>
  Object.fromEntries(Object.entries(interpret(graph, feeds)).map(([name, { data }]) => [name, [...data]]));

describe('activations computed again', () => {
  const [kept, again] = [withGradients(network, false), withGradients(network, true)];

  it('give the same gradients, to the bit', () => {
    expect(results(again)).toEqual(results(kept));
  });
  it('are those inside all blocks but the last, and no statistics', () => {
    expect(count(again, 'conv2d') - count(kept, 'conv2d')).toBe(2);
    // tanh is computed again for its own gradient; the sum behind it, which nothing needs, is not.
    expect(count(again, 'tanh') - count(kept, 'tanh')).toBe(1);
    expect(count(again, 'relu')).toBe(count(kept, 'relu'));
    expect(count(again, 'batchNorm')).toBe(2);
    // By the statistics that it had; that of the first block is needed for nothing.
    expect(count(again, 'batchNormInference')).toBe(1);
  });
  it('begin at what was kept once the gradient is there', () => {
    const made = new Map(again.nodes.flatMap((node, at) => node.outputs.map((id) => [id, at] as const)));
    const barriers = again.nodes.filter(({ op }) => op === 'barrier');
    // One for each block: the images, and the end of the first block.
    expect(barriers.map(({ inputs }) => again.values[inputs[0]!]!.shape)).toEqual([
      [4, 3, 6, 6],
      [4, 2, 6, 6],
    ]);
    const forward = again.nodes.findIndex(({ outputs }) => outputs.includes(again.outputs[0]!.value));
    for (const { inputs } of barriers) expect(made.get(inputs[1]!)).toBeGreaterThan(forward);
  });
  it('leave the graph as it is where nothing is marked, or one block alone', () => {
    const one: Network = (inputs, end) => end(network(inputs, (value) => value));
    expect(JSON.stringify(withGradients(one, true))).toBe(JSON.stringify(withGradients(one, false)));
    expect(JSON.stringify(kept)).toBe(JSON.stringify(withGradients(network, false)));
  });
  it('keep what replicas have exchanged', () => {
    const exchanged: Network = (inputs, end) =>
      network({ ...inputs, x: inputs.x }, (value) => end(tanh(allGather(tanh(value), 1))));
    const [once, repeated] = [withGradients(exchanged, false), withGradients(exchanged, true)];
    expect(count(repeated, 'allGather')).toBe(count(once, 'allGather'));
    expect(count(repeated, 'tanh')).toBeGreaterThan(count(once, 'tanh'));
    expect(results(repeated)).toEqual(results(once));
  });
  it('keep what a later block reads too', () => {
    const skipping: Network = ({ x, a, b }, end) => {
      const inner = tanh(conv2d(x, a, { padding: 1 }));
      const first = end(neg(inner));
      const second = end(tanh(add(conv2d(first, b, { padding: 1 }), inner)));
      return sum(end(mul(second, second)));
    };
    const graph = withGradients(skipping, true, ['a', 'b']);
    expect(results(graph)).toEqual(results(withGradients(skipping, false, ['a', 'b'])));
    expect(count(graph, 'tanh')).toBe(2);
  });
  it('go on behind a node of which several outputs are marked', () => {
    const several: Network = ({ x, a, b, g, h }, end) => {
      const [normal, centre] = batchNorm(conv2d(x, a, { padding: 1 }), g, h, 1e-5);
      end(centre);
      const second = end(tanh(conv2d(tanh(end(normal)), b, { padding: 1 })));
      return sum(end(tanh(mul(second, second))));
    };
    const by = ['a', 'b', 'g', 'h'] as const;
    const graph = withGradients(several, true, by);
    expect(results(graph)).toEqual(results(withGradients(several, false, by)));
    // That of the second block, beside the three of the forward pass.
    expect(count(graph, 'tanh')).toBe(4);
  });
  it('do not depend on the order or the number of the marks of a value', () => {
    const marked: Network = (inputs, end) => {
      const ends: Traced[] = [];
      const loss = network(inputs, (value) => {
        ends.push(value);
        return value;
      });
      for (const value of [...ends.reverse(), ...ends]) end(value);
      return loss;
    };
    expect(JSON.stringify(withGradients(marked, true))).toBe(JSON.stringify(again));
  });
});

it('a barrier passes a gradient on to its value alone', () => {
  const graph = trace((builder) => {
    const [x, z] = [builder.input('x', [3]), builder.input('z', [3])];
    const loss = sum(mul(barrier(x, z), z));
    const [dx, dz] = gradients(loss, [x, z]);
    return { dx: dx!, dz: dz! };
  });
  const { dx, dz } = interpret(graph, {
    x: { shape: [3], data: [1, 2, 3] },
    z: { shape: [3], data: [4, 5, 6] },
  });
  expect([[...dx!.data], [...dz!.data]]).toEqual([
    [4, 5, 6],
    [1, 2, 3],
  ]);
});
