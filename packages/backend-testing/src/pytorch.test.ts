/// <reference types="node" />
/** The oracle, its gradients, the optimizers and the schedules against PyTorch in float64: parity/ops.py makes the fixture. */
import { readFileSync } from 'node:fs';
import {
  adamw,
  add,
  batchNorm,
  conv2d,
  decodeSafetensors,
  div,
  erf,
  exp,
  type Feed,
  grad,
  interpret,
  learningRate,
  logSumExp,
  matmul,
  maxPool2d,
  mean,
  mul,
  nn,
  type Optimizer,
  relu,
  reshape,
  sgd,
  sqrt,
  sub,
  sum,
  type Tensor,
  type Traced,
  type TracedParams,
  trace,
  transpose,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';

type Keys = Record<string, string>;
type Attrs = Record<string, number | boolean | string | number[]>;
interface Entry {
  readonly name: string;
  readonly op: string;
  readonly attrs: Attrs;
  readonly inputs?: Keys;
  readonly upstream?: Keys;
  readonly outputs: Keys;
  readonly gradients?: Keys;
}

const fixtures = new URL('../../../parity/fixtures/', import.meta.url);
const entries: Entry[] = JSON.parse(readFileSync(new URL('ops.json', fixtures), 'utf8')).cases;
const { tensors } = decodeSafetensors(readFileSync(new URL('ops.safetensors', fixtures)), 'ops.safetensors');
const read = (keys: Keys = {}): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, tensors[key]!]));

/** Both sides compute in float64; what is left is the rounding of the fixture, and of constants, to float32. */
const tolerance = 3e-7;

function expectNear(actual: Feed, expected: Feed, name: string): void {
  expect(actual.shape, name).toEqual(expected.shape);
  const magnitude = Math.max(1e-30, ...Array.from(expected.data, Math.abs));
  for (let i = 0; i < expected.data.length; i++)
    expect(Math.abs(actual.data[i]! - expected.data[i]!), `${name} ${i}`).toBeLessThanOrEqual(
      tolerance * magnitude,
    );
}

/** Softmax and the like along an axis of a matrix, by the rows' form. */
function alongRows(x: Traced, axis: unknown, body: (x: Traced) => Traced): Traced {
  return axis === 0 ? transpose(body(transpose(x))) : body(x);
}

/** Each of PyTorch's ops from ours: an op, a layer, or what the methods compose. */
const composed: Record<string, (inputs: TracedParams, attrs: Attrs) => Traced | Record<string, Traced>> = {
  conv2d: ({ x, weight, bias }, attrs) => {
    const y = conv2d(x!, weight!, attrs);
    return bias ? add(y, reshape(bias, [1, bias.shape[0]!, 1, 1])) : y;
  },
  max_pool2d: ({ x }, attrs) => maxPool2d(x!, attrs as { kernel: number; stride: number; padding: number }),
  global_avg_pool2d: ({ x }) => mean(x!, [2, 3]),
  batch_norm: (inputs, { splits, training }) => {
    const params = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`bn.${name}`, value]));
    const updates = new Map([
      ['bn.running_mean', inputs.running_mean!],
      ['bn.running_var', inputs.running_var!],
    ]);
    const normalization = { splits: splits as number };
    const context = { config: { imageSize: 1 }, training: training as boolean, normalization, updates };
    const y = nn.batchNorm(context, params, 'bn', inputs.x!);
    return { y, running_mean: updates.get('bn.running_mean')!, running_var: updates.get('bn.running_var')! };
  },
  layer_norm: ({ x, weight, bias }, { eps }) => {
    const centred = sub(x!, mean(x!, [-1], true));
    const deviation = sqrt(add(mean(mul(centred, centred), [-1], true), eps as number));
    return add(mul(div(centred, deviation), weight!), bias!);
  },
  normalize: ({ x }, { axis }) => alongRows(x!, axis, nn.normalize),
  linear: ({ x, weight, bias }) => {
    const rows = reshape(x!, [x!.shape.slice(0, -1).reduce((a, b) => a * b, 1), x!.shape.at(-1)!]);
    const y = bias
      ? nn.linear({ 'fc.weight': weight!, 'fc.bias': bias }, 'fc', rows)
      : matmul(rows, weight!, { transposeB: true });
    return reshape(y, [...x!.shape.slice(0, -1), weight!.shape[0]!]);
  },
  gelu: ({ x }) => mul(mul(x!, 0.5), add(erf(mul(x!, Math.SQRT1_2)), 1)),
  relu: ({ x }) => relu(x!),
  softmax: ({ x }, { axis }) => alongRows(x!, axis, (rows) => exp(sub(rows, logSumExp(rows)))),
  log_softmax: ({ x }) => sub(x!, logSumExp(x!)),
  cross_entropy: ({ logits, labels }) => mean(sub(logSumExp(logits!), sum(mul(logits!, labels!), [1], true))),
};

/** Class labels as rows of a unit matrix: what core has instead of an indexed loss. */
function oneHot(labels: Tensor, classes: number): Tensor {
  const data = new Float32Array(labels.data.length * classes);
  labels.data.forEach((label, i) => {
    data[i * classes + label] = 1;
  });
  return { shape: [labels.data.length, classes], dtype: 'float32', data };
}

function check({ name, op, attrs, ...keys }: Entry): void {
  const inputs = read(keys.inputs);
  if (inputs.labels) inputs.labels = oneHot(inputs.labels, inputs.logits!.shape[1]!);
  const upstream = tensors[keys.upstream!.y!]!;
  const graph = trace((builder) => {
    const traced = Object.fromEntries(
      Object.entries(inputs).map(([input, { shape }]) => [input, builder.input(input, shape)]),
    );
    const result = composed[op]!(traced, attrs);
    const outputs =
      'builder' in result && 'id' in result ? { y: result as Traced } : (result as TracedParams);
    return { ...outputs, loss: sum(mul(outputs.y!, builder.input('upstream', upstream.shape))) };
  });
  const gradients = read(keys.gradients);
  const outputs = interpret(grad(graph, 'loss', Object.keys(gradients)), { ...inputs, upstream });
  for (const [output, expected] of Object.entries(read(keys.outputs)))
    expectNear(outputs[output]!, expected, `${name} ${output}`);
  for (const [input, expected] of Object.entries(gradients))
    expectNear(outputs[`grad.${input}`]!, expected, `${name} gradient by ${input}`);
}

function checkOptimizer({ name, op, attrs, ...keys }: Entry): void {
  const [start, gradients, expected] = [read(keys.inputs), read(keys.gradients), read(keys.outputs)];
  const weightDecay = attrs.weight_decay as number;
  const optimizer: Optimizer =
    op === 'sgd'
      ? sgd({ momentum: attrs.momentum as number, weightDecay })
      : adamw({ betas: attrs.betas as [number, number], epsilon: attrs.eps as number, weightDecay });
  for (const [parameter, value] of Object.entries(start)) {
    const { shape } = value;
    const scalarNames = Object.keys(optimizer.scalars(1, 0));
    const graph = trace((builder) => {
      const scalars = Object.fromEntries(scalarNames.map((scalar) => [scalar, builder.input(scalar, [])]));
      const slots = optimizer.slots.map((slot) => builder.input(slot, shape));
      const given = {
        parameter: builder.input('p', shape),
        gradient: builder.input('g', shape),
        slots,
        scalars,
      };
      const after = optimizer.update(given);
      return {
        p: after.parameter,
        ...Object.fromEntries(optimizer.slots.map((slot, i) => [slot, after.slots[i]!])),
      };
    });
    const zeros = { shape, data: new Float64Array(value.data.length) };
    let state: Record<string, Feed> = {
      p: value,
      ...Object.fromEntries(optimizer.slots.map((s) => [s, zeros])),
    };
    (attrs.lr as number[]).forEach((lr, i) => {
      const scalars = Object.entries(optimizer.scalars(lr, i)).map(([s, x]) => [s, { shape: [], data: [x] }]);
      state = interpret(graph, {
        ...state,
        ...Object.fromEntries(scalars),
        g: gradients[`${parameter}.${i}`]!,
      });
      expectNear(state.p!, expected[`${parameter}.${i}`]!, `${name} ${parameter} after step ${i}`);
    });
  }
}

function checkSchedule({ op, attrs, outputs }: Entry): void {
  const epochs = attrs.epochs as number;
  const schedule = { cosine: op === 'cosine_lr', milestones: (attrs.schedule ?? []) as number[], epochs };
  const rates = Array.from({ length: epochs }, (_, epoch) =>
    learningRate(attrs.lr as number, schedule, epoch),
  );
  expectNear({ shape: [epochs], data: rates }, tensors[outputs.lr!]!, op);
}

describe("PyTorch's values and gradients", () => {
  it.each(entries)('$name', (entry) => {
    if (entry.op.endsWith('_lr')) checkSchedule(entry);
    else if (entry.op === 'sgd' || entry.op === 'adamw') checkOptimizer(entry);
    else check(entry);
  });
  it('are there for every op of the fixture', () => {
    const known = [...Object.keys(composed), 'sgd', 'adamw', 'cosine_lr', 'step_lr'];
    expect([...new Set(entries.map(({ op }) => op))].sort()).toEqual(known.sort());
  });
});

it("batchNorm's variance is the biased one", () => {
  const graph = trace((builder) => {
    const one = builder.input('one', [1]);
    return { variance: batchNorm(builder.input('x', [2, 1]), one, one, 0)[2] };
  });
  const { variance } = interpret(graph, {
    x: { shape: [2, 1], data: [1, 3] },
    one: { shape: [1], data: [1] },
  });
  expect([...variance!.data]).toEqual([1]);
});
