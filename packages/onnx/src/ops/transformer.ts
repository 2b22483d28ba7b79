/** The ops of vision transformers. ONNX Runtime is at its best over rows: [rows, D] with vectors of D or columns. */
import { consumers, sizeOf } from '@moco-ts/core';
import { float } from '../builder.ts';
import type { Lowering, Rules } from '../lowering.ts';
import { row, rowLength } from './elementwise.ts';

/** Whether anything in the graph needs one of these values. */
function isNeeded({ graph }: Lowering, ids: readonly number[]): boolean {
  const readers = consumers(graph);
  return ids.some((id) => readers.has(id) || graph.outputs.some(({ value }) => value === id));
}

/**
 * A value for a chain of elementwise nodes, and how it meets single numbers: as rows, since loops over a tensor and a
 * scalar aren't vectorised.
 */
function chain(lowering: Lowering, value: number) {
  const { onnx } = lowering;
  const { shape } = lowering.type(value);
  const length = lowering.contrib ? rowLength(sizeOf(shape)) : 0;
  if (length === 0)
    return {
      enter: (name: string) => name,
      leave: (name: string) => name,
      number: (x: number) => onnx.scalar(x),
    };
  return {
    enter: (name: string) => onnx.op('Reshape', [name, onnx.ints([-1, length])]),
    leave: (name: string) => onnx.op('Reshape', [name, onnx.ints(shape)]),
    number: (x: number) => row(lowering, onnx.scalar(x), length),
  };
}

export const transformer: Rules = {
  layerNorm: ({ inputs, outputs, attrs }, lowering) => {
    const statistics = outputs.slice(1);
    const names = lowering.onnx.node(
      'LayerNormalization',
      inputs.map((id) => lowering.get(id)),
      { axis: -1, epsilon: float(attrs.epsilon as number) },
      isNeeded(lowering, statistics) ? 3 : 1,
    );
    names.forEach((name, i) => {
      lowering.set(outputs[i]!, name);
    });
  },
  layerNormGrad: ({ inputs, outputs }, lowering) => {
    const { onnx } = lowering;
    const { shape } = lowering.type(inputs[1]!);
    const length = shape.at(-1)!;
    const rows = (value: number) => onnx.op('Reshape', [lowering.get(value), onnx.ints([-1, length])]);
    const column = (value: number) => onnx.op('Reshape', [lowering.get(value), onnx.ints([-1, 1])]);
    const [dy, x] = [rows(inputs[0]!), rows(inputs[1]!)];
    const gamma = lowering.get(inputs[2]!);
    const [mean, inverse] = [column(inputs[3]!), column(inputs[4]!)];
    const over = (axis: number, type: string, name: string) =>
      onnx.op(type, [name, onnx.ints([axis])], { keepdims: axis });

    const normal = onnx.op('Mul', [onnx.op('Sub', [x, mean]), inverse]);
    const inner = onnx.op('Mul', [dy, gamma]);
    const slope = over(1, 'ReduceMean', onnx.op('Mul', [inner, normal]));
    const level = onnx.op('Sub', [inner, over(1, 'ReduceMean', inner)]);
    const dx = onnx.op('Mul', [onnx.op('Sub', [level, onnx.op('Mul', [normal, slope])]), inverse]);
    lowering.set(outputs[0]!, onnx.op('Reshape', [dx, onnx.ints(shape)]));
    lowering.set(outputs[1]!, over(0, 'ReduceSum', onnx.op('Mul', [dy, normal])));
    lowering.set(outputs[2]!, over(0, 'ReduceSum', dy));
  },
  gelu: ({ inputs, outputs }, lowering) => {
    const { onnx, contrib } = lowering;
    const x = lowering.get(inputs[0]!);
    if (contrib) {
      lowering.set(outputs[0]!, onnx.op('Gelu', [x], {}, 'com.microsoft'));
      return;
    }
    const e = onnx.op('Erf', [onnx.op('Mul', [x, onnx.scalar(Math.SQRT1_2)])]);
    const twice = onnx.op('Mul', [x, onnx.op('Add', [e, onnx.scalar(1)])]);
    lowering.set(outputs[0]!, onnx.op('Mul', [twice, onnx.scalar(0.5)]));
  },
  // With t = x / sqrt 2 the density's part is x f(x) = t exp(-t^2 - ln sqrt pi): no further factors.
  geluGrad: ({ inputs, outputs }, lowering) => {
    const { onnx } = lowering;
    const { enter, leave, number } = chain(lowering, outputs[0]!);
    const [dy, x] = inputs.map((id) => enter(lowering.get(id))) as [string, string];
    const t = onnx.op('Mul', [x, number(Math.SQRT1_2)]);
    const half = { alpha: float(0.5), beta: float(0.5) };
    const distribution = onnx.op('HardSigmoid', [onnx.op('Erf', [t])], half);
    const exponent = onnx.op('Sub', [number(-Math.log(Math.PI) / 2), onnx.op('Mul', [t, t])]);
    const density = onnx.op('Mul', [t, onnx.op('Exp', [exponent])]);
    lowering.set(outputs[0]!, leave(onnx.op('Mul', [dy, onnx.op('Add', [distribution, density])])));
  },
  softmax: ({ inputs, outputs }, lowering) => {
    lowering.set(outputs[0]!, lowering.onnx.op('Softmax', [lowering.get(inputs[0]!)], { axis: -1 }));
  },
  softmaxMatmul: ({ inputs, outputs }, lowering) => {
    const { onnx } = lowering;
    const weights = onnx.op('Softmax', [lowering.get(inputs[0]!)], { axis: -1 });
    lowering.set(outputs[1]!, weights);
    lowering.set(outputs[0]!, onnx.op('MatMul', [weights, lowering.get(inputs[1]!)]));
  },
  split: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const operands = [lowering.get(inputs[0]!), onnx.ints(attrs.sizes as readonly number[])];
    const parts = onnx.node('Split', operands, { axis: attrs.axis as number }, outputs.length);
    parts.forEach((name, i) => {
      lowering.set(outputs[i]!, name);
    });
  },
};
