/** Convolutions and their input gradients as nchwc convolutions. Each rule returns false for what it leaves to the plain form. */
import { type ConvAttributes, convAttributes, type Shape, type Shape4 } from '@moco-ts/core';
import { type BlockedLowering, nchwc } from './lowering.ts';
import { type BlockedConvOptions, blockedConv } from './nchwc-conv.ts';
import type { BlockedRule } from './rule.ts';
import { type SmallConvOptions, smallConv } from './width-packed.ts';

/** A convolution of a value in the form that is fastest for its size. */
function convOf(
  lowering: BlockedLowering,
  x: number,
  filter: string,
  { shape, ...options }: BlockedConvOptions & { readonly pads: readonly number[]; readonly shape: Shape },
): string {
  const { kernel, pads, stride = 1 } = options;
  const small =
    stride === 1 ? smallConv(lowering, x, filter, { kernel, pads, shape } as SmallConvOptions) : undefined;
  return small ?? blockedConv(lowering, lowering.data(x), filter, options);
}

/** Every stride-th row and column of a `data` value. */
export function subsample(lowering: BlockedLowering, value: number, stride: number): string {
  const { onnx, block } = lowering;
  return lowering.once(`every ${stride} of ${value}`, () => {
    const [batch, channels, height, width] = lowering.shape(value) as Shape4;
    const view = lowering.reshape(lowering.data(value), [batch * (channels / block), height, width, block]);
    const inputs = [view, onnx.ints([0, 0]), onnx.ints([height, width]), onnx.ints([1, 2])];
    const taken = onnx.op('Slice', [...inputs, onnx.ints([stride, stride])]);
    return lowering.reshape(taken, [batch, channels, Math.ceil(height / stride), Math.ceil(width / stride)]);
  });
}

/** A filter of fewer inputs than a block, for a plain input: [O/B, I, kH, kW, B]. */
function stemFilter(lowering: BlockedLowering, value: number): string {
  const { block } = lowering;
  const shape = lowering.shape(value);
  const [outputs, inputs, height, width] = shape as Shape4;
  return lowering.once(`stem filter ${value}`, () => {
    const split = lowering.reshape(lowering.get(value), [outputs / block, block, inputs * height * width]);
    return lowering.reshape(lowering.transpose(split, [0, 2, 1]), shape);
  });
}

export const conv2d: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [x, w] = inputs as [number, number];
  const { stride, padding, groups } = convAttributes(attrs);
  const [filters, channels, ...kernel] = lowering.shape(w) as Shape4;
  const { block } = lowering;
  if (groups !== 1 || filters % block !== 0) return false;
  if (channels % block !== 0 && channels >= block) return false;
  const pads = [padding, padding, padding, padding];
  let y: string;
  if (channels % block !== 0)
    y = blockedConv(lowering, lowering.get(x), stemFilter(lowering, w), { kernel, stride, pads });
  else if (stride > 1 && padding === 0 && kernel.every((extent) => extent === 1))
    y = blockedConv(lowering, subsample(lowering, x, stride), lowering.filter(w), { kernel });
  else
    y = convOf(lowering, x, lowering.filter(w), { kernel, stride, pads, shape: lowering.shape(outputs[0]!) });
  lowering.setIn('data', outputs[0]!, y);
  return true;
};

/**
 * Some taps of the IO-transposed filter (inputs and outputs exchanged), in the `filter` layout.
 * @param taps the rows and columns to take, in the order wanted
 */
function ioTransposedFilter(
  lowering: BlockedLowering,
  w: number,
  rows: readonly number[],
  columns: readonly number[],
): string {
  const { onnx, block } = lowering;
  const [outputs, inputs, height, width] = lowering.shape(w) as Shape4;
  const [outer, inner, taps] = [outputs / block, inputs / block, height * width];
  // ReorderOutput is a vectorised block transpose: it exchanges the two innermost axes, block x block at a time.
  const transposed = lowering.once(`block-transposed filter ${w}`, () => {
    const view = lowering.reshape(lowering.filter(w), [outer * inner * taps, block, block, 1]);
    const swapped = onnx.op('ReorderOutput', [view], { channels: block }, nchwc);
    return lowering.reshape(swapped, [outer * inner * taps, block * block]);
  });
  const order: number[] = [];
  for (let i = 0; i < inner; i++)
    for (let o = 0; o < outer; o++)
      for (const row of rows)
        for (const column of columns) order.push((o * inner + i) * taps + row * width + column);
  return lowering.once(`IO-transposed filter ${w} ${rows} ${columns}`, () =>
    lowering.reshape(onnx.op('Gather', [transposed, onnx.ints(order)], { axis: 0 }), [
      inputs,
      outputs,
      rows.length,
      columns.length,
    ]),
  );
}

const reversed = (extent: number) => Array.from({ length: extent }, (_, i) => extent - 1 - i);

export const conv2dInputGrad: BlockedRule = (node, lowering) => {
  const [dy, w] = node.inputs as [number, number];
  const attrs = convAttributes(node.attrs);
  const { block } = lowering;
  const [filters, channels, kernelHeight, kernelWidth] = lowering.shape(w) as Shape4;
  if (attrs.groups !== 1 || filters % block !== 0 || channels % block !== 0) return false;
  const shape = lowering.shape(node.outputs[0]!);
  const dx = inputGradient(lowering, dy, w, shape, [kernelHeight, kernelWidth], attrs);
  if (dx === undefined) return false;
  lowering.setIn('data', node.outputs[0]!, dx);
  return true;
};

function inputGradient(
  lowering: BlockedLowering,
  dy: number,
  w: number,
  shape: Shape,
  [kernelHeight, kernelWidth]: readonly [number, number],
  { stride, padding }: ConvAttributes,
): string | undefined {
  const [, , height, width] = shape as Shape4;
  const [, , oh, ow] = lowering.shape(dy) as Shape4;
  if (stride === 1 && padding < kernelHeight && padding < kernelWidth) {
    const filter = ioTransposedFilter(lowering, w, reversed(kernelHeight), reversed(kernelWidth));
    const [top, left] = [kernelHeight - 1 - padding, kernelWidth - 1 - padding];
    const kernel = [kernelHeight, kernelWidth];
    return convOf(lowering, dy, filter, { kernel, pads: [top, left, top, left], shape });
  }
  if (
    kernelHeight === 1 &&
    kernelWidth === 1 &&
    padding === 0 &&
    height === oh * stride &&
    width === ow * stride
  ) {
    const small = blockedConv(lowering, lowering.data(dy), ioTransposedFilter(lowering, w, [0], [0]), {
      kernel: [1, 1],
    });
    return insertZeros(lowering, small, shape, stride);
  }
  if (
    stride === 2 &&
    kernelHeight === 3 &&
    kernelWidth === 3 &&
    padding === 1 &&
    height === 2 * oh &&
    width === 2 * ow
  )
    return strideTwoGradient(lowering, dy, w, shape);
  return undefined;
}

/** Zero-insertion: zeros between the rows and columns of a `data` value. */
function insertZeros(lowering: BlockedLowering, small: string, shape: Shape, stride: number): string {
  const { onnx, block } = lowering;
  const [batch, channels, height, width] = shape as Shape4;
  const lines = batch * (channels / block) * (height / stride);
  const columns = onnx.op('Pad', [
    lowering.reshape(small, [lines * (width / stride), 1, block]),
    onnx.ints([0, 0, 0, 0, stride - 1, 0]),
  ]);
  const rows = onnx.op('Pad', [
    lowering.reshape(columns, [lines, 1, width * block]),
    onnx.ints([0, 0, 0, 0, stride - 1, 0]),
  ]);
  return lowering.reshape(rows, shape);
}

/**
 * 3x3, stride 2, padding 1: even and odd rows and columns of dx are four small convolutions of dy.
 * Row 2a meets tap 1 alone; row 2a+1 meets tap 2 of dy's row a and tap 0 of row a+1.
 */
function strideTwoGradient(lowering: BlockedLowering, dy: number, w: number, shape: Shape): string {
  const { onnx, block } = lowering;
  const [batch, channels, height, width] = shape as Shape4;
  const lines = batch * (channels / block) * (height / 2);
  const taps = [[1], [2, 0]] as const;
  const rows = taps.map((rowTaps, odd) => {
    const columns = taps.map((columnTaps, oddColumn) => {
      const filter = ioTransposedFilter(lowering, w, rowTaps, columnTaps);
      const kernel = [rowTaps.length, columnTaps.length];
      const part = blockedConv(lowering, lowering.data(dy), filter, { kernel, pads: [0, 0, odd, oddColumn] });
      return lowering.reshape(part, [lines * (width / 2), 1, block]);
    });
    return lowering.reshape(onnx.op('Concat', columns, { axis: 1 }), [lines, 1, width * block]);
  });
  return lowering.reshape(onnx.op('Concat', rows, { axis: 1 }), shape);
}
