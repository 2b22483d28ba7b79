import { convAttributes, type Node, poolAttributes, type Shape, type Shape4 } from '@moco-ts/core';
import type { Lowering, Rules } from '../lowering.ts';

export const linear: Rules = {
  matmul: ({ inputs, outputs, attrs }, lowering) => {
    const [a, b] = inputs.map((id) => lowering.get(id)) as [string, string];
    const rank = lowering.type(outputs[0]!).shape.length;
    const product = matmul(lowering, a, b, rank, attrs.transposeA === true, attrs.transposeB === true);
    lowering.set(outputs[0]!, product);
  },
  conv2d: ({ inputs, outputs, attrs }, lowering) => {
    const [x, w] = inputs.map((id) => lowering.get(id)) as [string, string];
    const { stride, padding, groups } = convAttributes(attrs);
    const name = lowering.onnx.op('Conv', [x, w], {
      kernel_shape: lowering.type(inputs[1]!).shape.slice(2),
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      group: groups,
    });
    lowering.set(outputs[0]!, name);
  },
  conv2dInputGrad: ({ inputs, outputs, attrs }, lowering) => {
    const [dy, w] = inputs.map((id) => lowering.get(id)) as [string, string];
    const { stride, padding, groups } = convAttributes(attrs);
    const kernel = lowering.type(inputs[1]!).shape.slice(2);
    const small = lowering.type(inputs[0]!).shape.slice(2);
    const large = lowering.type(outputs[0]!).shape.slice(2);
    const name = lowering.onnx.op('ConvTranspose', [dy, w], {
      kernel_shape: kernel,
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      // The rows and columns that the forward stride left over.
      output_padding: large.map(
        (extent, i) => extent - ((small[i]! - 1) * stride + kernel[i]! - 2 * padding),
      ),
      group: groups,
    });
    lowering.set(outputs[0]!, name);
  },
  conv2dFilterGrad: (node, lowering) => {
    lowering.set(node.outputs[0]!, filterGradient(node, lowering));
  },
  maxPool2d: ({ inputs, outputs, attrs }, lowering) => {
    const name = lowering.onnx.op('MaxPool', [lowering.get(inputs[0]!)], poolOptions(attrs));
    lowering.set(outputs[0]!, name);
  },
  maxPool2dGrad: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const [dy, x] = inputs.map((id) => lowering.get(id)) as [string, string];
    const shape = lowering.type(outputs[0]!).shape;
    const size = shape.reduce((product, extent) => product * extent, 1);
    const [, winners] = onnx.node('MaxPool', [x], poolOptions(attrs), 2);
    const flat = onnx.ints([-1]);
    const zeros = onnx.op('Expand', [onnx.scalar(0), onnx.ints([size])]);
    const parts = [zeros, onnx.op('Reshape', [winners!, flat]), onnx.op('Reshape', [dy, flat])];
    const scattered = onnx.op('ScatterElements', parts, { axis: 0, reduction: 'add' });
    lowering.set(outputs[0]!, onnx.op('Reshape', [scattered, onnx.ints(shape)]));
  },
};

/** ONNX's attributes of a max-pool. */
export function poolOptions(attrs: Node['attrs']) {
  const { kernel, stride, padding } = poolAttributes(attrs);
  return {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [padding, padding, padding, padding],
  };
}

/** A product with either side transposed, by what the model may use. */
export function matmul(
  { onnx, contrib }: Pick<Lowering, 'onnx' | 'contrib'>,
  a: string,
  b: string,
  rank: number,
  transposeA: boolean,
  transposeB: boolean,
): string {
  const flags = [transposeA ? 1 : 0, transposeB ? 1 : 0] as const;
  if (rank === 2) return onnx.op('Gemm', [a, b], { transA: flags[0], transB: flags[1] });
  if (contrib) return onnx.op('FusedMatMul', [a, b], { transA: flags[0], transB: flags[1] }, 'com.microsoft');
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  [perm[rank - 2], perm[rank - 1]] = [rank - 1, rank - 2];
  const turn = (x: string, turned: boolean) => (turned ? onnx.op('Transpose', [x], { perm }) : x);
  return onnx.op('MatMul', [turn(a, transposeA), turn(b, transposeB)]);
}

/**
 * dW as k*k matrix products: for each filter tap, the images shifted to it [C, N OH OW] against dY [O, N OH OW].
 * A convolution with the batch as channels is the shorter form, but ONNX Runtime's plain NCHW kernel is slow on it.
 */
function filterGradient({ inputs, attrs, outputs }: Node, lowering: Lowering): string {
  const { onnx } = lowering;
  const { stride, padding, groups } = convAttributes(attrs);
  const [batch, channels] = lowering.type(inputs[0]!).shape as Shape4;
  const [, filters, oh, ow] = lowering.type(inputs[1]!).shape as Shape4;
  const [, , kernelHeight, kernelWidth] = lowering.type(outputs[0]!).shape as Shape4;
  const positions = batch * oh * ow;
  const byChannel = { perm: [1, 0, 2, 3] };
  const zeros = onnx.ints([0, 0, padding, padding, 0, 0, padding, padding]);
  const x = lowering.once(`channels first ${inputs[0]} padded ${padding}`, () => {
    const turned = onnx.op('Transpose', [lowering.get(inputs[0]!)], byChannel);
    return padding === 0 ? turned : onnx.op('Pad', [turned, zeros]);
  });
  const dy = lowering.once(`channels first ${inputs[1]}`, () =>
    onnx.op('Transpose', [lowering.get(inputs[1]!)], byChannel),
  );
  const matrix = (value: string, rows: number) => {
    const shape: Shape = groups === 1 ? [rows, positions] : [groups, rows / groups, positions];
    return onnx.op('Reshape', [value, onnx.ints(shape)]);
  };
  const taps: string[] = [];
  for (let i = 0; i < kernelHeight; i++)
    for (let j = 0; j < kernelWidth; j++) {
      const ends = onnx.ints([i + (oh - 1) * stride + 1, j + (ow - 1) * stride + 1]);
      const steps = onnx.ints([stride, stride]);
      const shifted = onnx.op('Slice', [x, onnx.ints([i, j]), ends, onnx.ints([2, 3]), steps]);
      const product = matmul(
        lowering,
        matrix(dy, filters),
        matrix(shifted, channels),
        groups === 1 ? 2 : 3,
        false,
        true,
      );
      taps.push(onnx.op('Reshape', [product, onnx.ints([filters, channels / groups, 1])]));
    }
  const joined = taps.length === 1 ? taps[0]! : onnx.op('Concat', taps, { axis: 2 });
  return onnx.op('Reshape', [joined, onnx.ints(lowering.type(outputs[0]!).shape)]);
}
