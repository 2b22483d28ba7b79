import { type DType, sizeOf, type Tensor } from '@moco-ts/core';
import { float, type OnnxBuilder } from '../builder.ts';
import type { Lowering, Rule, Rules } from '../lowering.ts';
import { elementTypes } from '../proto.ts';

const direct =
  (type: string): Rule =>
  ({ inputs, outputs }, lowering) => {
    lowering.set(
      outputs[0]!,
      lowering.onnx.op(
        type,
        inputs.map((id) => lowering.get(id)),
      ),
    );
  };

/** The ops that are one ONNX node of the same operands, and that node's type. */
export const elementwiseTypes: Readonly<Record<string, string>> = {
  neg: 'Neg',
  exp: 'Exp',
  log: 'Log',
  sqrt: 'Sqrt',
  tanh: 'Tanh',
  abs: 'Abs',
  erf: 'Erf',
  relu: 'Relu',
  stopGradient: 'Identity',
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  maximum: 'Max',
  greater: 'Greater',
  greaterEqual: 'GreaterOrEqual',
  less: 'Less',
  equal: 'Equal',
  select: 'Where',
};

/** Ops of two float operands that meet single numbers often. */
const arithmetic = ['add', 'sub', 'mul', 'div'] as const;

/** Below this many elements the two reshapes cost more than the fast loop saves. */
const spreadFrom = 4096;

/** The longest row by which a tensor of this many elements is worth going through; 0 if none divides it. */
export function rowLength(size: number): number {
  for (let length = 1024; length >= 64; length /= 2) if (size % length === 0) return length;
  return 0;
}

/**
 * A tensor and a single number. ONNX Runtime 1.30's loops over a tensor and a scalar aren't vectorised: they take five
 * times as long as those over a matrix and a row, so the number becomes a row.
 * @returns undefined where that doesn't pay or isn't known to be right
 */
function withNumber(
  type: string,
  inputs: readonly number[],
  output: number,
  lowering: Lowering,
): string | undefined {
  const { onnx } = lowering;
  const { shape } = lowering.type(output);
  const sizes = inputs.map((id) => sizeOf(lowering.type(id).shape));
  const length = rowLength(sizeOf(shape));
  if (!lowering.contrib || sizeOf(shape) < spreadFrom || length === 0) return undefined;
  if (sizes.some((size) => size !== 1 && size !== sizeOf(shape)) || !sizes.includes(1)) return undefined;
  const names = inputs.map((id, i) =>
    sizes[i] === 1
      ? row(lowering, lowering.get(id), length)
      : onnx.op('Reshape', [lowering.get(id), onnx.ints([-1, length])]),
  );
  return onnx.op('Reshape', [onnx.op(type, names), onnx.ints(shape)]);
}

/** A single number as a row. */
export function row(lowering: Lowering, number: string, length: number): string {
  const { onnx } = lowering;
  return lowering.once(`row ${number} ${length}`, () =>
    onnx.op('Expand', [onnx.op('Reshape', [number, onnx.ints([1])]), onnx.ints([length])]),
  );
}

export const elementwise: Rules = {
  constant: ({ outputs, attrs }, lowering) => {
    lowering.set(outputs[0]!, lowering.onnx.tensor(attrs.tensor as Tensor));
  },
  ...Object.fromEntries(Object.entries(elementwiseTypes).map(([op, type]) => [op, direct(type)])),
  ...Object.fromEntries(
    arithmetic.map((op): [string, Rule] => [
      op,
      (node, lowering) => {
        const type = elementwiseTypes[op]!;
        const name = withNumber(type, node.inputs, node.outputs[0]!, lowering);
        if (name === undefined) direct(type)(node, lowering);
        else lowering.set(node.outputs[0]!, name);
      },
    ]),
  ),
  cast: ({ inputs, outputs, attrs }, lowering) => {
    const to = elementTypes[attrs.dtype as DType];
    lowering.set(outputs[0]!, lowering.onnx.op('Cast', [lowering.get(inputs[0]!)], { to }));
  },
  reluGrad: ({ inputs, outputs }, lowering) => {
    const [dy, y] = inputs.map((id) => lowering.get(id)) as [string, string];
    lowering.set(outputs[0]!, lowering.onnx.op('Mul', [dy, positive(lowering.onnx, y)]));
  },
};

/** 1 where y > 0, else 0: a step written as a very steep HardSigmoid, which is one vectorised pass. Between 0 and 1e-30 it is a slope. */
export function positive(onnx: OnnxBuilder, y: string): string {
  return onnx.op('HardSigmoid', [y], { alpha: float(1e30), beta: float(0) });
}
