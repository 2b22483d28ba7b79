import {
  batchNorm,
  batchNormInference,
  type Graph,
  gradients,
  mul,
  opNames,
  relu,
  reshape,
  sub,
  sum,
  type Traced,
  trace,
} from '@moco-ts/core';
import { expect, it } from 'vitest';
import { lowerModule, rules } from './module.ts';

it('every op has a rule', () => {
  expect(Object.keys(rules).sort()).toEqual(opNames());
});

it('an op without a rule is named, with its node', () => {
  const graph = trace((builder) => ({ y: builder.input('x', [2]) }));
  const strange = {
    ...graph,
    nodes: [{ op: 'strange', inputs: [], outputs: [], attrs: {} }],
  };
  expect(() => lowerModule(strange, [], [])).toThrow('xla has no lowering of the op "strange" (node 0)');
});

it('state that a step replaces is donated to the result that replaces it', () => {
  const graph = trace((builder) => {
    const [a, b] = [builder.input('a', [2]), builder.input('b', [3])];
    return { 'next.b': b, 'next.a': a };
  });
  const [a, b] = graph.inputs.map(({ value }) => value);
  expect(lowerModule(graph, [b!, a!], ['b', 'a'])).toContain(
    '@main(%arg0: tensor<2xf32> {tf.aliasing_output = 1 : i32}, %arg1: tensor<3xf32> {tf.aliasing_output = 0 : i32}) -> (tensor<3xf32>, tensor<2xf32>)',
  );
});

/** The lines that results depend on: an engine drops the others. */
function liveLines(module: string): string[] {
  const lines = module.split('\n');
  const live: string[] = [];
  const needed = new Set(lines.find((line) => line.startsWith('return'))?.match(/%\d+/g));
  for (const line of lines.reverse()) {
    const made = /^(%\d+) = /.exec(line)?.[1];
    if (made === undefined || !needed.has(made)) continue;
    live.push(line);
    for (const name of line.slice(made.length).match(/%\d+/g) ?? []) needed.add(name);
  }
  return live;
}

it('normalises groups of a batch, and back, without regrouping a map', () => {
  const [batch, channels, groups] = [16, 4, 2];
  const graph = trace((builder) => {
    const x = builder.input('x', [batch, channels, 3, 3]);
    const upstream = builder.input('upstream', x.shape);
    const [gamma, beta] = ['gamma', 'beta'].map((name) => builder.input(name, [groups * channels]));
    const map = relu(x);
    const [y] = batchNorm(reshape(map, [batch / groups, groups * channels, 3, 3]), gamma!, beta!, 1e-5);
    const loss = sum(mul(reshape(y, x.shape), upstream));
    const [dx, dGamma] = gradients(loss, [x, gamma!]);
    return { loss, dx: dx!, dGamma: dGamma! };
  });
  expectMapsAsTheyAre(graph);
});

it('normalises groups by given statistics, as recomputation does, without regrouping a map', () => {
  const [batch, channels, groups] = [16, 4, 2];
  const graph = trace((builder) => {
    const x = builder.input('x', [batch, channels, 3, 3]);
    const vectors = ['gamma', 'beta', 'mean', 'variance'].map((name) =>
      builder.input(name, [groups * channels]),
    );
    const [gamma, beta, mean, variance] = vectors as [Traced, Traced, Traced, Traced];
    const grouped = reshape(relu(x), [batch / groups, groups * channels, 3, 3]);
    return { y: reshape(batchNormInference(grouped, gamma, beta, mean, variance, 1e-5), x.shape) };
  });
  expectMapsAsTheyAre(graph);
});

function expectMapsAsTheyAre(graph: Graph): void {
  const live = liveLines(
    lowerModule(
      graph,
      graph.outputs.map(({ value }) => value),
      [],
    ),
  );
  const reshapes = live.filter((line) => line.includes('stablehlo.reshape'));
  expect(reshapes.length).toBeGreaterThan(0);
  expect(reshapes.filter((line) => line.includes('x3x3x'))).toEqual([]);
}

it('a graph is one text, by hand', () => {
  const graph = trace((builder) => {
    const [w, x] = [builder.input('w', [2, 3]), builder.input('x', [3])];
    const next = sub(w, x);
    return { next, y: mul(next, 2) };
  });
  const values = graph.outputs.map(({ value }) => value);
  expect(lowerModule(graph, values, ['w'])).toBe(`module @step {
func.func public @main(%arg0: tensor<2x3xf32> {tf.aliasing_output = 0 : i32}, %arg1: tensor<3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
%0 = stablehlo.broadcast_in_dim %arg1, dims = [1] : (tensor<3xf32>) -> tensor<2x3xf32>
%1 = stablehlo.subtract %arg0, %0 : tensor<2x3xf32>
%2 = stablehlo.constant dense<2.0e+0> : tensor<f32>
%3 = stablehlo.broadcast_in_dim %2, dims = [] : (tensor<f32>) -> tensor<2x3xf32>
%4 = stablehlo.multiply %1, %3 : tensor<2x3xf32>
return %1, %4 : tensor<2x3xf32>, tensor<2x3xf32>
}
}
`);
});
