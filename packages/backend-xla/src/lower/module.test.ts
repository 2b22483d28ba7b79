import { opNames, trace } from '@moco-ts/core';
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
