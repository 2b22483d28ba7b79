/** Constants and ops that move data without computing. */
import { ShapeError } from '../../errors.ts';
import { broadcastAxes, broadcastShapes } from '../../tensor/broadcast.ts';
import {
  describe,
  type Shape,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorType,
} from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';

defineOp({
  name: 'constant',
  gradient: 'none',
  infer: (_, { tensor }) => {
    const { shape, dtype } = tensor as Tensor;
    return [{ shape, dtype }];
  },
});

defineOp({
  name: 'reshape',
  infer: ([x], { shape }) => {
    if (sizeOf(x!.shape) !== sizeOf(shape as Shape))
      throw new ShapeError(`${describe(x!)} has not the size of [${(shape as Shape).join(', ')}]`);
    return [{ shape: shape as Shape, dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x] }) => [reshape(dOutputs[0]!, x!.shape)],
});
/** The same elements in row-major order under another shape. */
export function reshape(x: Traced, shape: Shape): Traced {
  return sameShape(x.shape, shape) ? x : x.builder.emit('reshape', [x], { shape: [...shape] })[0]!;
}

defineOp({
  name: 'transpose',
  infer: ([x], { permutation }) => {
    const order = permutation as readonly number[];
    const sorted = [...order].sort((a, b) => a - b);
    if (order.length !== x!.shape.length || sorted.some((axis, i) => axis !== i))
      throw new ShapeError(`[${order.join(', ')}] is no order of ${x!.shape.length} axes`);
    return [{ shape: order.map((axis) => x!.shape[axis]!), dtype: x!.dtype }];
  },
  grad: ({ dOutputs, attrs: { permutation } }) => {
    const order = permutation as readonly number[];
    return [
      transpose(
        dOutputs[0]!,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ];
  },
});
/** Axes in another order: output axis i is input axis `permutation[i]`. Default: reversed. */
export function transpose(x: Traced, permutation?: readonly number[]): Traced {
  const order = permutation ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
  return x.builder.emit('transpose', [x], { permutation: [...order] })[0]!;
}

defineOp({
  name: 'broadcastTo',
  infer: ([x], { shape }) => {
    if (!sameShape(broadcastShapes(x!.shape, shape as Shape), shape as Shape))
      throw new ShapeError(`can't broadcast to [${(shape as Shape).join(', ')}]`);
    return [{ shape: shape as Shape, dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x] }) => [unbroadcast(dOutputs[0]!, x!)],
});
/** The value repeated along axes of extent 1 and along new leading axes. */
export function broadcastTo(x: Traced, shape: Shape): Traced {
  return sameShape(x.shape, shape) ? x : x.builder.emit('broadcastTo', [x], { shape: [...shape] })[0]!;
}

/** The transpose of {@link broadcastTo}: a gradient summed over the axes along which the operand was broadcast. */
export function unbroadcast(gradient: Traced, like: TensorType): Traced {
  if (sameShape(gradient.shape, like.shape)) return gradient;
  const axes = broadcastAxes(like.shape, gradient.shape);
  // Emitted by name: reduce.ts imports this file.
  const summed =
    axes.length > 0 ? gradient.builder.emit('sum', [gradient], { axes, keepDims: false })[0]! : gradient;
  return reshape(summed, like.shape);
}

defineOp({
  name: 'slice',
  infer: ([x], attrs) => {
    const starts = attrs.starts as readonly number[];
    const sizes = attrs.sizes as readonly number[];
    const outside = x!.shape.some(
      (extent, axis) => !(starts[axis]! >= 0 && sizes[axis]! > 0 && starts[axis]! + sizes[axis]! <= extent),
    );
    if (starts.length !== x!.shape.length || sizes.length !== starts.length || outside)
      throw new ShapeError(`a slice of sizes [${sizes.join(', ')}] at [${starts.join(', ')}] lies outside`);
    return [{ shape: sizes, dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x], attrs }) => {
    const starts = attrs.starts as readonly number[];
    const sizes = attrs.sizes as readonly number[];
    return [
      pad(
        dOutputs[0]!,
        starts,
        x!.shape.map((extent, axis) => extent - starts[axis]! - sizes[axis]!),
      ),
    ];
  },
});
/** The box of the given sizes whose corner is at `starts`. */
export function slice(x: Traced, starts: readonly number[], sizes: readonly number[]): Traced {
  return x.builder.emit('slice', [x], { starts: [...starts], sizes: [...sizes] })[0]!;
}

defineOp({
  name: 'pad',
  infer: ([x], attrs) => {
    const before = attrs.before as readonly number[];
    const after = attrs.after as readonly number[];
    if (before.length !== x!.shape.length || after.length !== before.length)
      throw new ShapeError('expected an amount before and after for each axis');
    if ([...before, ...after].some((amount) => amount < 0)) throw new ShapeError('amounts are at least 0');
    return [{ shape: x!.shape.map((extent, i) => before[i]! + extent + after[i]!), dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x], attrs }) => [
    slice(dOutputs[0]!, attrs.before as readonly number[], x!.shape),
  ],
});
/** Zeros around a value. */
export function pad(x: Traced, before: readonly number[], after: readonly number[]): Traced {
  return x.builder.emit('pad', [x], { before: [...before], after: [...after] })[0]!;
}

defineOp({
  name: 'concat',
  infer: (inputs, attrs) => {
    const axis = attrs.axis as number;
    const first = inputs[0]!;
    if (!(axis >= 0 && axis < first.shape.length))
      throw new ShapeError(`there is no axis ${axis} in a tensor of rank ${first.shape.length}`);
    const others = (shape: Shape) => shape.filter((_, i) => i !== axis);
    for (const input of inputs)
      if (
        input.dtype !== first.dtype ||
        input.shape.length !== first.shape.length ||
        !sameShape(others(input.shape), others(first.shape))
      )
        throw new ShapeError(`operands differ outside axis ${axis}`);
    const extent = inputs.reduce((total, input) => total + input.shape[axis]!, 0);
    return [{ shape: first.shape.map((e, i) => (i === axis ? extent : e)), dtype: first.dtype }];
  },
  grad: ({ dOutputs, inputs, attrs, needs }) => {
    const axis = attrs.axis as number;
    let start = 0;
    return inputs.map((input, i) => {
      const starts = input.shape.map((_, a) => (a === axis ? start : 0));
      start += input.shape[axis]!;
      return needs[i] ? slice(dOutputs[0]!, starts, input.shape) : undefined;
    });
  },
});
/** Operands joined along one axis. */
export function concat(operands: readonly Traced[], axis: number): Traced {
  const first = operands[0]!;
  return first.builder.emit('concat', operands, { axis: axis < 0 ? axis + first.shape.length : axis })[0]!;
}
