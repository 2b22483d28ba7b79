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

export const elementwise: Rules = {
  constant: ({ outputs, attrs }, lowering) => {
    lowering.set(outputs[0]!, lowering.onnx.tensor(attrs.tensor as Tensor));
  },
  neg: direct('Neg'),
  exp: direct('Exp'),
  log: direct('Log'),
  sqrt: direct('Sqrt'),
  tanh: direct('Tanh'),
  abs: direct('Abs'),
  erf: direct('Erf'),
  relu: direct('Relu'),
  stopGradient: direct('Identity'),
  add: direct('Add'),
  sub: direct('Sub'),
  mul: direct('Mul'),
  div: direct('Div'),
  maximum: direct('Max'),
  greater: direct('Greater'),
  greaterEqual: direct('GreaterOrEqual'),
  less: direct('Less'),
  equal: direct('Equal'),
  select: direct('Where'),
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
