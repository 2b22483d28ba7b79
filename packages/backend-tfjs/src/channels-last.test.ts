import {
  abs,
  add,
  batchNorm,
  batchNormGrad,
  concat,
  conv2d,
  type Graph,
  grad,
  interpret,
  max,
  maxPool2d,
  mean,
  mul,
  optimize,
  relu,
  reshape,
  rng,
  sizeOf,
  sub,
  sum,
  type Tensor,
  type Traced,
  tensor,
  trace,
} from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { describe, expect, it } from 'vitest';
import { channelsLast } from './channels-last.ts';
import { createProgram } from './program.ts';

tf.enableProdMode();
const activate = async () => {
  await tf.setBackend('cpu');
};

function drawn(shape: readonly number[], name: string): Tensor {
  const random = rng(0, name);
  return tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
    shape,
  );
}

type Inputs = Readonly<Record<'x' | 'w' | 'v' | 'gamma' | 'beta', Traced>>;
const shapes = { x: [4, 3, 6, 5], w: [4, 3, 3, 3], v: [4, 4, 3, 3], gamma: [8], beta: [8] } as const;

/** A loss over all that `compute` gives, with its gradients by all inputs that it reads. */
function graphOf(compute: (inputs: Inputs) => Traced, names: readonly (keyof typeof shapes)[]): Graph {
  const forward = trace((builder) => {
    const inputs = Object.fromEntries(names.map((name) => [name, builder.input(name, [...shapes[name]])]));
    const y = compute(inputs as unknown as Inputs);
    const weights = builder.input('weights', y.shape);
    return {
      y,
      loss: sum(
        mul(mul(y, weights), y),
        y.shape.map((_, axis) => axis),
      ),
    };
  });
  return optimize(grad(forward, 'loss', [...names]));
}

const conv = (x: Traced, w: Traced) => conv2d(x, w, { stride: 1, padding: 1 });
const inGroups = (x: Traced, { gamma, beta }: Inputs) => {
  const [batch, channels, ...rest] = x.shape as [number, number, number, number];
  return batchNorm(reshape(x, [batch / 2, 2 * channels, ...rest]), gamma, beta, 1e-5)[0];
};

/** What maps meet in networks, and what they might. */
const cases: readonly [string, readonly (keyof typeof shapes)[], (inputs: Inputs) => Traced][] = [
  ['convolutions one behind the other', ['x', 'w', 'v'], ({ x, w, v }) => conv(relu(conv(x, w)), v)],
  [
    'a block with a way round',
    ['x', 'w', 'v'],
    ({ x, w, v }) => {
      const first = conv(x, w);
      return relu(add(conv(relu(first), v), first));
    },
  ],
  [
    'normalisation in groups of images',
    ['x', 'w', 'v', 'gamma', 'beta'],
    (inputs) => {
      const first = conv(inputs.x, inputs.w);
      return conv(relu(reshape(inGroups(first, inputs), first.shape)), inputs.v);
    },
  ],
  [
    'groups that are read as they are',
    ['x', 'w', 'gamma', 'beta'],
    (inputs) => inGroups(conv(inputs.x, inputs.w), inputs),
  ],
  [
    'groups that go on in groups',
    ['x', 'w', 'gamma', 'beta'],
    (inputs) => abs(mul(relu(inGroups(conv(inputs.x, inputs.w), inputs)), 2)),
  ],
  [
    'groups beside a map of their shape',
    ['x', 'w', 'gamma', 'beta'],
    (inputs) => {
      const map = conv(inputs.x, inputs.w);
      const normal = inGroups(map, inputs);
      return mul(normal, relu(conv(normal, inputs.x.builder.constant(drawn([8, 8, 3, 3], 'filter')))));
    },
  ],
  ['another reshape', ['x', 'w'], ({ x, w }) => relu(reshape(conv(x, w), [4, 4, 5, 6]))],
  ['a mean over places', ['x', 'w'], ({ x, w }) => mean(conv(x, w), [2, 3])],
  ['a sum over channels', ['x', 'w'], ({ x, w }) => sum(conv(x, w), [1])],
  ['a sum over images', ['x', 'w'], ({ x, w }) => sum(conv(x, w), [0])],
  ['a sum over rows', ['x', 'w'], ({ x, w }) => sum(conv(x, w), [2])],
  [
    'deviations from a mean that keeps its axes',
    ['x', 'w', 'v'],
    ({ x, w, v }) => {
      const y = conv(x, w);
      return conv(sub(y, mean(y, [0, 2, 3], true)), v);
    },
  ],
  ['the largest', ['x', 'w'], ({ x, w }) => max(conv(x, w), [1, 3])],
  [
    'pooling',
    ['x', 'w', 'v'],
    ({ x, w, v }) => conv(maxPool2d(conv(x, w), { kernel: 3, stride: 2, padding: 1 }), v),
  ],
  [
    "an op that takes the graph's layout alone",
    ['x', 'w', 'v'],
    ({ x, w, v }) => {
      const first = conv(x, w);
      return conv(concat([first, first], 0), v);
    },
  ],
];

async function sameAsOracle(name: string, graph: Graph): Promise<void> {
  const feeds = Object.fromEntries(
    graph.inputs.map(({ name: port, value }) => [port, drawn(graph.values[value]!.shape, `${name} ${port}`)]),
  );
  const program = createProgram(graph, {}, activate, 'channels last');
  const outputs = await program.run(feeds);
  for (const [output, { data }] of Object.entries(interpret(graph, feeds))) {
    const scale = Math.max(...[...data].map(Math.abs));
    const worst = Math.max(...[...data].map((value, i) => Math.abs(value - outputs[output]!.data[i]!)));
    expect(worst / scale, output).toBeLessThan(1e-5);
  }
  await program.dispose();
}

describe('channels last', () => {
  it.each(cases)('%s: the same values and gradients', (name, names, compute) =>
    sameAsOracle(name, graphOf(compute, names)),
  );

  it('groups of different maps that look alike: the same values', () =>
    sameAsOracle(
      'groups',
      trace((builder) => {
        const one = conv(builder.input('x', [4, 3, 6, 5]), builder.input('w', [4, 3, 3, 3]));
        const other = conv(builder.input('a', [8, 3, 6, 5]), builder.input('b', [2, 3, 3, 3]));
        const [dy, x] = [reshape(other, [2, 8, 6, 5]), reshape(one, [2, 8, 6, 5])];
        const vector = (name: string) => builder.input(name, [8]);
        const deviation = vector('deviation');
        const variance = mul(deviation, deviation);
        const [dx, dGamma] = batchNormGrad(dy, x, vector('gamma'), vector('mean'), variance, 1e-5);
        return { dx, dGamma };
      }),
    ));

  const transpositions = (graph: Graph) => graph.nodes.filter(({ op }) => op === 'transpose').length;

  it('transposes the images once, and no map between', () => {
    const graph = trace((builder) => {
      const inputs = Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => [name, builder.input(name, [...shape])]),
      ) as unknown as Inputs;
      const first = conv(inputs.x, inputs.w);
      const normal = relu(reshape(inGroups(first, inputs), first.shape));
      const second = conv(normal, inputs.v);
      return { y: mean(relu(add(second, first)), [2, 3]) };
    });
    expect(transpositions(channelsLast(graph))).toBe(1);
  });

  it('leaves a graph without maps as it is', () => {
    const graph = trace((builder) => ({ y: relu(builder.input('x', [2, 3, 4, 5])) }));
    expect(channelsLast(graph)).toEqual(graph);
  });
});
