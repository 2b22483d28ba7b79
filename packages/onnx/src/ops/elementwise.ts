import type { DType, Tensor } from '@moco-ts/core';
import { float, type OnnxBuilder } from '../builder.ts';
import type { Rule, Rules } from '../lowering.ts';
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

export const elementwise: Rules = {
  constant: ({ outputs, attrs }, lowering) => {
    lowering.set(outputs[0]!, lowering.onnx.tensor(attrs.tensor as Tensor));
  },
  ...Object.fromEntries(Object.entries(elementwiseTypes).map(([op, type]) => [op, direct(type)])),
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
