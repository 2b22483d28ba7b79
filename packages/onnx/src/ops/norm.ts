/** Batch normalisation in the stable two-pass form: the mean first, then everything from the centred values. */
import { sizeOf } from '@moco-ts/core';
import { float } from '../builder.ts';
import type { Lowering, Rules } from '../lowering.ts';

/** x as [N, C, rest], and vectors of channels as [1, C, 1]. */
function frame(lowering: Lowering, value: number) {
  const { onnx } = lowering;
  const { shape } = lowering.type(value);
  const [batch, channels] = shape as [number, number];
  const flat = onnx.ints([batch, channels, sizeOf(shape) / (batch * channels)]);
  return {
    count: sizeOf(shape) / channels,
    flatten: (name: string) => onnx.op('Reshape', [name, flat]),
    restore: (name: string) => onnx.op('Reshape', [name, onnx.ints(shape)]),
    along: (name: string) => onnx.op('Reshape', [name, onnx.ints([1, channels, 1])]),
    vector: (name: string) => onnx.op('Reshape', [name, onnx.ints([channels])]),
    over: (type: string, name: string) => onnx.op(type, [name, onnx.ints([0, 2])], { keepdims: 1 }),
  };
}

/** x less its channels' means, [N, C, rest]: made once, read by forward and backward. */
function centre(lowering: Lowering, x: number, mean: number): string {
  const { flatten, along } = frame(lowering, x);
  return lowering.once(`${x} centred by ${mean}`, () =>
    lowering.onnx.op('Sub', [flatten(lowering.get(x)), along(lowering.get(mean))]),
  );
}

/** 1 / sqrt(variance + epsilon), [C]. */
export function inverseDeviation(lowering: Lowering, variance: number, epsilon: number): string {
  const { onnx } = lowering;
  return lowering.once(`inverse deviation of ${variance}, ${epsilon}`, () => {
    const deviation = onnx.op('Sqrt', [onnx.op('Add', [lowering.get(variance), onnx.scalar(epsilon)])]);
    return onnx.op('Reciprocal', [deviation]);
  });
}

export const norm: Rules = {
  batchNorm: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const { flatten, restore, along, vector, over } = frame(lowering, inputs[0]!);
    const [gamma, beta] = [lowering.get(inputs[1]!), along(lowering.get(inputs[2]!))];
    lowering.set(outputs[1]!, vector(over('ReduceMean', flatten(lowering.get(inputs[0]!)))));
    const centred = centre(lowering, inputs[0]!, outputs[1]!);
    lowering.set(outputs[2]!, vector(over('ReduceMean', onnx.op('Mul', [centred, centred]))));
    const scale = onnx.op('Mul', [gamma, inverseDeviation(lowering, outputs[2]!, attrs.epsilon as number)]);
    const scaled = onnx.op('Mul', [centred, along(scale)]);
    lowering.set(outputs[0]!, restore(onnx.op('Add', [scaled, beta])));
  },
  batchNormGrad: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const { count, flatten, restore, along, vector, over } = frame(lowering, inputs[1]!);
    const centred = centre(lowering, inputs[1]!, inputs[3]!);
    const scale = along(inverseDeviation(lowering, inputs[4]!, attrs.epsilon as number));
    const dy = flatten(lowering.get(inputs[0]!));
    const gamma = along(lowering.get(inputs[2]!));
    const share = onnx.scalar(1 / count);
    const dBeta = over('ReduceSum', dy);
    const dot = over('ReduceSum', onnx.op('Mul', [dy, centred]));
    const dGamma = onnx.op('Mul', [dot, scale]);
    const slope = onnx.op('Mul', [onnx.op('Mul', [dGamma, scale]), share]);
    const inner = onnx.op('Sub', [
      onnx.op('Sub', [dy, onnx.op('Mul', [dBeta, share])]),
      onnx.op('Mul', [centred, slope]),
    ]);
    lowering.set(outputs[0]!, restore(onnx.op('Mul', [inner, onnx.op('Mul', [gamma, scale])])));
    lowering.set(outputs[1]!, vector(dGamma));
    lowering.set(outputs[2]!, vector(dBeta));
  },
  batchNormInference: ({ inputs, outputs, attrs }, lowering) => {
    const names = inputs.map((id) => lowering.get(id));
    const options = { epsilon: float(attrs.epsilon as number) };
    lowering.set(outputs[0]!, lowering.onnx.op('BatchNormalization', names, options));
  },
};
