/** Reductions over named axes. */
import { ShapeError } from '../../errors.ts';
import { normalizeAxes } from '../../tensor/broadcast.ts';
import { type Shape, sizeOf, type TensorType } from '../../tensor/tensor.ts';
import type { Attributes } from '../graph.ts';
import { defineOp, type GradContext } from '../op.ts';
import type { Traced } from '../trace.ts';
import { cast, div, equal, mul } from './elementwise.ts';
import { broadcastTo, reshape } from './shape.ts';

function inferReduction([x]: readonly TensorType[], attrs: Attributes): TensorType[] {
  if (x!.dtype !== 'float32') throw new ShapeError('expected float32');
  const axes = normalizeAxes(attrs.axes as number[], x!.shape.length);
  return [{ shape: reducedShape(x!.shape, axes, attrs.keepDims as boolean), dtype: x!.dtype }];
}

function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return shape.flatMap((extent, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [extent]));
}

/** A reduced value back at its operand's rank, so that it broadcasts against the operand. */
function restoreAxes(value: Traced, { inputs: [x], attrs }: GradContext): Traced {
  return reshape(value, reducedShape(x!.shape, attrs.axes as number[], true));
}

function reduction(name: string, grad: (context: GradContext) => Traced) {
  defineOp({ name, infer: inferReduction, grad: (context) => [grad(context)] });
  /**
   * @param axes default: all; negative axes count from the end
   * @param keepDims keep reduced axes with extent 1
   */
  return (x: Traced, axes?: readonly number[], keepDims = false): Traced =>
    x.builder.emit(name, [x], {
      axes: normalizeAxes(axes ?? x.shape.map((_, axis) => axis), x.shape.length),
      keepDims,
    })[0]!;
}

export const sum = reduction('sum', (context) =>
  broadcastTo(restoreAxes(context.dOutputs[0]!, context), context.inputs[0]!.shape),
);

export const mean = reduction('mean', (context) => {
  const { shape } = context.inputs[0]!;
  const count = sizeOf(shape) / sizeOf(context.outputs[0]!.shape);
  return broadcastTo(restoreAxes(mul(context.dOutputs[0]!, 1 / count), context), shape);
});

/** The largest value; tied elements share the gradient evenly, as PyTorch's amax. */
export const max = reduction('max', (context) => {
  const x = context.inputs[0]!;
  const axes = context.attrs.axes as number[];
  const chosen = cast(equal(x, restoreAxes(context.outputs[0]!, context)), 'float32');
  const share = div(restoreAxes(context.dOutputs[0]!, context), sum(chosen, axes, true));
  return mul(chosen, share);
});
