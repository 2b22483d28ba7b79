/// <reference types="node" />
/** The ops of transformers and their gradients, against PyTorch in float64: parity/ops.py makes the fixture. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { grad } from '../grad.ts';
import { gelu, softmax } from '../graph/ops/activation.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { layerNorm } from '../graph/ops/layer-norm.ts';
import { sum } from '../graph/ops/reduce.ts';
import { transpose } from '../graph/ops/shape.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { decodeSafetensors } from '../safetensors.ts';
import { type Feed, interpret } from './interpreter.ts';

type Keys = Readonly<Record<string, string>>;
interface Entry {
  readonly name: string;
  readonly op: string;
  readonly attrs: { readonly axis?: number; readonly eps?: number };
  readonly inputs: Keys;
  readonly upstream: Keys;
  readonly outputs: Keys;
  readonly gradients: Keys;
}
const folder = new URL('../../../../parity/fixtures/', import.meta.url);
const all: Entry[] = JSON.parse(readFileSync(new URL('ops.json', folder), 'utf8')).cases;
const { tensors } = decodeSafetensors(readFileSync(new URL('ops.safetensors', folder)), 'ops.safetensors');

const ops: Record<string, (inputs: Readonly<Record<string, Traced>>, attrs: Entry['attrs']) => Traced> = {
  layer_norm: ({ x, weight, bias }, { eps }) => layerNorm(x!, weight!, bias!, eps!)[0],
  gelu: ({ x }) => gelu(x!),
  softmax: ({ x }, { axis }) => (axis === 0 ? transpose(softmax(transpose(x!))) : softmax(x!)),
};
const entries = all.filter(({ op }) => Object.hasOwn(ops, op));

/** Both sides compute in float64; what is left is the rounding of the fixture, and of constants, to float32. */
const tolerance = 3e-7;

function expectNear(actual: Feed, expected: Feed, what: string): void {
  expect(actual.shape, what).toEqual(expected.shape);
  const magnitude = Math.max(1e-30, ...Array.from(expected.data, Math.abs));
  for (let i = 0; i < expected.data.length; i++)
    expect(Math.abs(actual.data[i]! - expected.data[i]!) / magnitude, `${what} ${i}`).toBeLessThan(tolerance);
}

describe("PyTorch's values and gradients", () => {
  it.each(entries)('$name', ({ op, attrs, ...keys }) => {
    const feeds: Record<string, Feed> = { upstream: tensors[keys.upstream.y!]! };
    for (const [input, key] of Object.entries(keys.inputs)) feeds[input] = tensors[key]!;
    const graph = trace((builder) => {
      const inputs = Object.fromEntries(
        Object.entries(feeds).map(([input, { shape }]) => [input, builder.input(input, shape)]),
      );
      const y = ops[op]!(inputs, attrs);
      return { y, loss: sum(mul(y, inputs.upstream!)) };
    });
    const outputs = interpret(grad(graph, 'loss', Object.keys(keys.inputs)), feeds);
    expectNear(outputs.y!, tensors[keys.outputs.y!]!, 'y');
    for (const [input, key] of Object.entries(keys.gradients))
      expectNear(outputs[`grad.${input}`]!, tensors[key]!, `the gradient by ${input}`);
  });
  it('are there for each op', () => {
    expect(new Set(entries.map(({ op }) => op))).toEqual(new Set(Object.keys(ops)));
  });
});
