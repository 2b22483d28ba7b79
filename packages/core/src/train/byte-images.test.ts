import { expect, it } from 'vitest';
import { mul } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { sgd } from '../optim/sgd.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { filled, tensor } from '../tensor/tensor.ts';
import { byteTable, normaliseBytes, takingBytes } from './byte-images.ts';
import { StepTracer } from './step.ts';

const by = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

it('a byte becomes (byte / 255 - mean) / std of its channel', () => {
  const table = byteTable(by);
  expect(table).toHaveLength(768);
  expect(table[0]).toBe(Math.fround(-0.485 / 0.229));
  expect(table[255]).toBe(Math.fround((1 - 0.485) / 0.229));
  expect(table[512 + 51]).toBe(Math.fround((0.2 - 0.406) / 0.225));
});

it('a step that takes bytes computes what it does with normalised images, to the bit', () => {
  const shape = [2, 3, 4, 2];
  const tracer = new StepTracer({ 'q.w': filled([3, 4, 2], 0) });
  const [x, y] = [tracer.feed('x', shape), tracer.feed('y', shape)];
  tracer.metric('product', mul(mul(x, y), tracer.state['q.w']!));
  tracer.metric('x', x);
  tracer.setState('q.w', mean(x, [0]));
  const step = tracer.finish(sgd({}));

  const random = rng(0, 'bytes');
  const bytes = (values: readonly number[] = []) =>
    Uint8Array.from({ length: 48 }, (_, i) => values[i] ?? random.integer(256));
  const [a, b] = [bytes([0, 255, 128]), bytes()];
  const floats = (data: Uint8Array) => tensor(normaliseBytes(data, 8, by), shape);
  const w = tensor(Float32Array.from({ length: 24 }, random.normal), [3, 4, 2]);
  const expected = interpret(step.graph, { 'q.w': w, x: floats(a), y: floats(b) });

  const taking = takingBytes(step, ['x', 'y'], by);
  const types = taking.graph.inputs.map(({ name, value }) => [name, taking.graph.values[value]!.dtype]);
  expect(Object.fromEntries(types)).toEqual({ 'q.w': 'float32', x: 'uint8', y: 'uint8' });
  expect(taking.state).toEqual(step.state);
  const feeds = { 'q.w': w, x: tensor(a, shape, 'uint8'), y: tensor(b, shape, 'uint8') };
  expect(interpret(taking.graph, feeds)).toEqual(expected);
  const half = takingBytes(step, ['y'], by);
  expect(interpret(half.graph, { ...feeds, x: floats(a) })).toEqual(expected);
});
