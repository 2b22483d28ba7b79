/** The one node that the fast kernels are: a convolution in blocked layouts. */
import { type BlockedLowering, nchwc } from './lowering.ts';

export interface BlockedConvOptions {
  readonly kernel: readonly number[];
  readonly stride?: number;
  /** Top, left, bottom, right. */
  readonly pads?: readonly number[];
  readonly dilations?: readonly number[];
  /** A value of the result's shape to add. */
  readonly addend?: string | undefined;
}

export function blockedConv(
  lowering: BlockedLowering,
  x: string,
  w: string,
  options: BlockedConvOptions,
): string {
  const { kernel, stride = 1, pads = [0, 0, 0, 0], dilations = [1, 1], addend } = options;
  const attributes = {
    kernel_shape: kernel,
    strides: [stride, stride],
    pads,
    dilations,
    group: 1,
  };
  const inputs = addend === undefined ? [x, w] : [x, w, '', addend];
  return lowering.onnx.op('Conv', inputs, attributes, nchwc);
}
