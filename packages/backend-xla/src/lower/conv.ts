/** Convolution, its gradients as convolutions, and pooling. */
import { type Attributes, convAttributes, type Shape4, type TensorType } from '@moco-ts/core';
import { type Emitter, elementType, lowest, typeText, type Value } from './emitter.ts';
import type { Rules } from './rule.ts';

interface Window {
  /** Which axes of operands and result are batch, features and space. */
  readonly axes: string;
  /** Before and after, for height and width. */
  readonly padding: readonly (readonly [number, number])[];
  readonly stride?: number;
  /** Zeros between the input's elements: stride of a transposed convolution. */
  readonly inputDilation?: number;
  readonly filterDilation?: number;
  readonly featureGroups?: number;
  readonly batchGroups?: number;
}

function convolution(
  emit: Emitter,
  [x, w]: readonly [Value, Value],
  window: Window,
  type: TensorType,
): Value {
  const { axes, padding, stride = 1, inputDilation = 1, filterDilation = 1 } = window;
  const pad = padding.map(([before, after]) => `[${before}, ${after}]`).join(', ');
  const both = (value: number) => `[${value}, ${value}]`;
  const precision = `#stablehlo<precision ${emit.precision}>`;
  const attributes = [
    `batch_group_count = ${window.batchGroups ?? 1} : i64`,
    `feature_group_count = ${window.featureGroups ?? 1} : i64`,
    ...(x.dtype === 'float32' ? [`precision_config = [${precision}, ${precision}]`] : []),
  ];
  return emit.op(
    `stablehlo.convolution(${x.name}, ${w.name}) dim_numbers = ${axes}, window = {stride = ${both(stride)}, pad = [${pad}], lhs_dilate = ${both(inputDilation)}, rhs_dilate = ${both(filterDilation)}} {${attributes.join(', ')}}`,
    [x, w],
    type,
  );
}

const spatial = (make: (axis: 2 | 3) => readonly [number, number]) => [make(2), make(3)];

/** [O, I, kH, kW], input and output channels exchanged within each group, and rotated by 180 degrees. */
function flipped(emit: Emitter, w: Value, groups: number): Value {
  const [o, i, height, width] = w.shape as Shape4;
  const exchanged =
    groups === 1
      ? w
      : emit.reshape(
          emit.transpose(emit.reshape(w, [groups, o / groups, i, height, width]), [1, 0, 2, 3, 4]),
          [o / groups, groups * i, height, width],
        );
  if (height === 1 && width === 1) return exchanged;
  return emit.line(
    `stablehlo.reverse ${exchanged.name}, dims = [2, 3] : tensor<${[...exchanged.shape, elementType(w)].join('x')}>`,
    exchanged,
  );
}

function windowText({ kernel, stride, padding }: Attributes): string {
  return `{window_dimensions = array<i64: 1, 1, ${kernel}, ${kernel}>, window_strides = array<i64: 1, 1, ${stride}, ${stride}>, padding = dense<[[0, 0], [0, 0], [${padding}, ${padding}], [${padding}, ${padding}]]> : tensor<4x2xi64>}`;
}

/** A function of two scalars in an op's braces. */
const region = (type: string, body: string, result = type) =>
  `{ ^bb0(%a: ${type}, %b: ${type}): %m = stablehlo.${body}\n stablehlo.return %m : ${result} }`;

export const conv: Rules = {
  conv2d: (emit, [x, w], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const axes = '[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]';
    const window = { axes, stride, padding: spatial(() => [padding, padding]), featureGroups: groups };
    return [convolution(emit, [x!, w!], window, type!)];
  },
  conv2dInputGrad: (emit, [dy, w], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const pads = spatial((axis) => {
      const kernel = w!.shape[axis]!;
      const before = kernel - 1 - padding;
      const dilated = (dy!.shape[axis]! - 1) * stride + 1;
      return [before, type!.shape[axis]! - (dilated + before - kernel + 1)];
    });
    const axes = '[b, f, 0, 1]x[i, o, 0, 1]->[b, f, 0, 1]';
    const window = { axes, padding: pads, inputDilation: stride, featureGroups: groups };
    return [convolution(emit, [dy!, flipped(emit, w!, groups)], window, type!)];
  },
  // Channels take the place of images, images that of channels.
  conv2dFilterGrad: (emit, [x, dy], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const pads = spatial((axis) => {
      const dilated = (dy!.shape[axis]! - 1) * stride + 1;
      return [padding, type!.shape[axis]! - (x!.shape[axis]! + padding - dilated + 1)];
    });
    const axes = '[f, b, 0, 1]x[i, o, 0, 1]->[f, b, 0, 1]';
    const window = { axes, padding: pads, filterDilation: stride, batchGroups: groups };
    return [convolution(emit, [x!, dy!], window, type!)];
  },
  maxPool2d: (emit, [x], attrs, [type]) => {
    const element = { shape: [], dtype: x!.dtype };
    const start = emit.constant(lowest(x!.dtype), element);
    const larger = region(typeText(element), `maximum %a, %b : ${typeText(element)}`);
    return [
      emit.op(
        `"stablehlo.reduce_window"(${x!.name}, ${start.name}) (${larger}) ${windowText(attrs)}`,
        [x!, start],
        type!,
      ),
    ];
  },
  // GE keeps the first of equal maxima, as PyTorch does.
  maxPool2dGrad: (emit, [dy, x], attrs, [type]) => {
    const element = { shape: [], dtype: x!.dtype };
    const scalar = typeText(element);
    const zero = emit.constant(0, element);
    const first = region(scalar, `compare GE, %a, %b : (${scalar}, ${scalar}) -> tensor<i1>`, 'tensor<i1>');
    const sum = region(scalar, `add %a, %b : ${scalar}`);
    return [
      emit.op(
        `"stablehlo.select_and_scatter"(${x!.name}, ${dy!.name}, ${zero.name}) (${first}, ${sum}) ${windowText(attrs)}`,
        [x!, dy!, zero],
        type!,
      ),
    ];
  },
};
