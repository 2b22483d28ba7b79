import { describe, expect, it } from 'vitest';
import { gradients } from '../grad.ts';
import type { Graph, Node } from '../graph/graph.ts';
import {
  add,
  barrier,
  batchNorm,
  conv2d,
  matmul,
  mean,
  mul,
  relu,
  reshape,
  softmaxMatmul,
  sum,
} from '../graph/ops/index.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { logSumExp } from '../ssl/losses.ts';
import { optimize } from './passes.ts';
import { withPrecision } from './precision.ts';

/** Two convolutions with batch normalisation and a shortcut, logits, cross entropy, and an update of the weights. */
const residual = optimize(
  trace((builder) => {
    const x = builder.input('x', [4, 3, 6, 6]);
    const weights = {
      first: builder.input('first', [8, 3, 3, 3]),
      second: builder.input('second', [8, 8, 3, 3]),
      fc: builder.input('fc', [5, 8]),
    };
    const [one, zero] = [builder.input('gamma', [8]), builder.input('beta', [8])];
    const norm = (y: Traced) => batchNorm(y, one, zero, 1e-5);
    const shortcut = relu(norm(conv2d(x, weights.first, { padding: 1 }))[0]);
    const [y, average] = norm(conv2d(shortcut, weights.second, { padding: 1 }));
    const logits = matmul(mean(relu(add(y, shortcut)), [2, 3]), weights.fc, { transposeB: true });
    const loss = mean(logSumExp(mul(logits, 5)));
    const derivatives = gradients(loss, Object.values(weights));
    const updated = Object.entries(weights).map(([name, weight], i) => [
      `next.${name}`,
      add(mul(weight, 0.9), derivatives[i]!),
    ]);
    return { loss, average, ...Object.fromEntries(updated) };
  }),
);

const of = (graph: Graph, op: string): Node[] => graph.nodes.filter((node) => node.op === op);
const types = (graph: Graph, ids: readonly number[]) => ids.map((id) => graph.values[id]!.dtype);

describe('mixed precision', () => {
  it('leaves the graph of fp32 and tf32 as it is', () => {
    expect(withPrecision(residual, 'fp32')).toBe(residual);
    expect(withPrecision(residual, 'tf32')).toBe(residual);
  });

  const graph = withPrecision(residual, 'bf16');
  const shortened = (op: string) => of(graph, op).map((node) => types(graph, node.inputs));

  it('has the inputs and outputs of the graph', () => {
    for (const side of ['inputs', 'outputs'] as const) {
      const named = (g: Graph) => g[side].map(({ name, value }) => [name, g.values[value]]);
      expect(named(graph)).toEqual(named(residual));
    }
  });

  it.each(['conv2d', 'conv2dInputGrad', 'conv2dFilterGrad', 'matmul'])('rounds the operands of %s', (op) => {
    expect(shortened(op).length).toBeGreaterThan(0);
    for (const operands of shortened(op)) expect(operands).toEqual(['bfloat16', 'bfloat16']);
  });

  it('keeps feature maps and their gradients rounded, and statistics in float32', () => {
    const vectors = (count: number) => new Array<string>(count).fill('float32');
    for (const operands of shortened('batchNorm')) expect(operands).toEqual(['bfloat16', ...vectors(2)]);
    for (const operands of shortened('batchNormGrad'))
      expect(operands).toEqual(['bfloat16', 'bfloat16', ...vectors(3)]);
    for (const { outputs } of of(graph, 'batchNorm'))
      expect(types(graph, outputs)).toEqual(['bfloat16', ...vectors(2)]);
    for (const operands of [...shortened('relu'), ...shortened('reluGrad')])
      expect(new Set(operands)).toEqual(new Set(['bfloat16']));
  });

  it('has logits, means, the loss and the update of weights in float32', () => {
    for (const op of ['exp', 'log', 'mean', 'sum', 'max', 'sub'])
      for (const operands of shortened(op)) expect(new Set(operands), op).toEqual(new Set(['float32']));
    const [logits] = of(graph, 'matmul');
    expect(types(graph, logits!.outputs)).toEqual(['float32']);
    // weight x .9 + gradient, which reaches the update as float32.
    const next = graph.outputs.filter(({ name }) => name.startsWith('next.'));
    for (const { value } of next) {
      const update = graph.nodes.find(({ outputs }) => outputs.includes(value))!;
      expect([update.op, ...types(graph, update.inputs)]).toEqual(['add', 'float32', 'float32']);
    }
  });

  it('casts a value once', () => {
    const casts = of(graph, 'cast').map(({ inputs, attrs }) => `${inputs} ${attrs.dtype}`);
    expect(new Set(casts).size).toBe(casts.length);
    // The second filter is read by a convolution and by its input gradient.
    const second = graph.inputs.find(({ name }) => name === 'second')!.value;
    expect(of(graph, 'cast').filter(({ inputs }) => inputs[0] === second)).toHaveLength(1);
  });

  it('leaves a barrier the types of what it is given', () => {
    const graph = optimize(
      trace((builder) => {
        const [x, w] = [builder.input('x', [1, 2, 3, 3]), builder.input('w', [2, 2, 1, 1])];
        const y = relu(conv2d(x, w));
        return { y: conv2d(barrier(y, conv2d(y, w)), w), z: barrier(x, y) };
      }),
    );
    const mixed = withPrecision(graph, 'bf16');
    expect(of(mixed, 'barrier').map(({ inputs, outputs }) => types(mixed, [...inputs, ...outputs]))).toEqual([
      ['bfloat16', 'float32', 'bfloat16'],
      ['float32', 'bfloat16', 'float32'],
    ]);
  });

  it('keeps what a transformer adds up in float32, and attention rounded', () => {
    const block = optimize(
      trace((builder) => {
        const x = builder.input('x', [2, 4, 6]);
        const w = builder.input('w', [6, 6]);
        const project = (y: Traced) =>
          reshape(matmul(reshape(y, [8, 6]), w, { transposeB: true }), [2, 4, 6]);
        const [mixed] = softmaxMatmul(matmul(project(x), project(x), { transposeB: true }), project(x));
        return { y: sum(mul(add(x, project(mixed)), x), [2]) };
      }),
    );
    const mixed = withPrecision(block, 'fp16');
    const attention = of(mixed, 'softmaxMatmul')[0]!;
    expect(types(mixed, [...attention.inputs, ...attention.outputs])).toEqual(new Array(4).fill('float16'));
    const [stream] = of(mixed, 'add');
    expect(types(mixed, [...stream!.inputs, ...stream!.outputs])).toEqual(new Array(3).fill('float32'));
    const outputs = of(mixed, 'matmul').map(({ outputs }) => types(mixed, outputs)[0]);
    expect(outputs).toEqual(['float16', 'float16', 'float32']);
  });
});
