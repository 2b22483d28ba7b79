/** Two-dimensional convolution (cross-correlation, as every framework calls it) and its two gradients. */
import { ShapeError } from '../../errors.ts';
import { type Shape, sameShape, type TensorType } from '../../tensor/tensor.ts';
import type { Attributes } from '../graph.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { floatOf } from './float.ts';

export interface ConvOptions {
  /** The same along both axes; default 1. */
  readonly stride?: number;
  /** Zeros on all four sides; default 0. */
  readonly padding?: number;
  /** Channels are divided into this many independent convolutions; default 1. */
  readonly groups?: number;
}

/** {@link ConvOptions} as a node's attributes carry them. */
export interface ConvAttributes {
  readonly stride: number;
  readonly padding: number;
  readonly groups: number;
}

export function convAttributes(attrs: Attributes): ConvAttributes {
  return attrs as unknown as ConvAttributes;
}

function outputExtent(extent: number, kernel: number, { stride, padding }: ConvAttributes): number {
  return Math.floor((extent + 2 * padding - kernel) / stride) + 1;
}

/** The output's shape; throws ShapeError when input and filter don't fit. */
function convShape(x: Shape, w: Shape, attrs: ConvAttributes): Shape {
  if (x.length !== 4 || w.length !== 4)
    throw new ShapeError('expected [N, C, H, W] and [O, C/groups, kH, kW]');
  const [n, c, height, width] = x as [number, number, number, number];
  const [o, i, kernelHeight, kernelWidth] = w as [number, number, number, number];
  const { groups } = attrs;
  if (c % groups !== 0 || o % groups !== 0 || i !== c / groups)
    throw new ShapeError(`${c} channels in ${groups} groups don't fit a filter of [${w.join(', ')}]`);
  const oh = outputExtent(height, kernelHeight, attrs);
  const ow = outputExtent(width, kernelWidth, attrs);
  if (oh < 1 || ow < 1) throw new ShapeError('the filter is larger than the padded input');
  return [n, o, oh, ow];
}

function expect(actual: TensorType, shape: Shape, what: string): void {
  if (!sameShape(actual.shape, shape))
    throw new ShapeError(`${what} should be [${shape.join(', ')}], is [${actual.shape.join(', ')}]`);
}

function withDefaults({ stride = 1, padding = 0, groups = 1 }: ConvOptions): Attributes & ConvAttributes {
  return { stride, padding, groups };
}

defineOp({
  name: 'conv2d',
  infer: ([x, w], attrs) => [
    { dtype: floatOf(x!, w!), shape: convShape(x!.shape, w!.shape, convAttributes(attrs)) },
  ],
  grad: ({ dOutputs, inputs: [x, w], attrs, needs }) => [
    needs[0] ? conv2dInputGrad(dOutputs[0]!, w!, x!.shape, convAttributes(attrs)) : undefined,
    needs[1] ? conv2dFilterGrad(x!, dOutputs[0]!, w!.shape, convAttributes(attrs)) : undefined,
  ],
});
/**
 * Of operands of a reduced type, products are summed in float32 and the sum is rounded once, to that type; so in the gradients.
 * @param x [N, C, H, W]
 * @param w [O, C/groups, kH, kW]
 * @returns [N, O, (H + 2 padding - kH) / stride + 1, ...], rounded down
 */
export function conv2d(x: Traced, w: Traced, options: ConvOptions = {}): Traced {
  return x.builder.emit('conv2d', [x, w], withDefaults(options))[0]!;
}

defineOp({
  name: 'conv2dInputGrad',
  infer: ([dy, w], attrs) => {
    const shape = attrs.shape as Shape;
    const dtype = floatOf(dy!, w!);
    expect(dy!, convShape(shape, w!.shape, convAttributes(attrs)), 'dy');
    return [{ shape, dtype }];
  },
  grad: ({ dOutputs, inputs: [dy, w], attrs, needs }) => [
    needs[0] ? conv2d(dOutputs[0]!, w!, convAttributes(attrs)) : undefined,
    needs[1] ? conv2dFilterGrad(dOutputs[0]!, dy!, w!.shape, convAttributes(attrs)) : undefined,
  ],
});
/**
 * The gradient of {@link conv2d} by its input.
 * @param dy [N, O, OH, OW]
 * @param w [O, C/groups, kH, kW]
 * @param shape the input's, [N, C, H, W]
 */
export function conv2dInputGrad(dy: Traced, w: Traced, shape: Shape, options: ConvOptions = {}): Traced {
  return dy.builder.emit('conv2dInputGrad', [dy, w], { ...withDefaults(options), shape: [...shape] })[0]!;
}

defineOp({
  name: 'conv2dFilterGrad',
  infer: ([x, dy], attrs) => {
    const shape = attrs.shape as Shape;
    const dtype = floatOf(x!, dy!);
    expect(dy!, convShape(x!.shape, shape, convAttributes(attrs)), 'dy');
    return [{ shape, dtype }];
  },
  grad: ({ dOutputs, inputs: [x, dy], attrs, needs }) => [
    needs[0] ? conv2dInputGrad(dy!, dOutputs[0]!, x!.shape, convAttributes(attrs)) : undefined,
    needs[1] ? conv2d(x!, dOutputs[0]!, convAttributes(attrs)) : undefined,
  ],
});
/**
 * The gradient of {@link conv2d} by its filter.
 * @param x [N, C, H, W]
 * @param dy [N, O, OH, OW]
 * @param shape the filter's, [O, C/groups, kH, kW]
 */
export function conv2dFilterGrad(x: Traced, dy: Traced, shape: Shape, options: ConvOptions = {}): Traced {
  return x.builder.emit('conv2dFilterGrad', [x, dy], { ...withDefaults(options), shape: [...shape] })[0]!;
}
