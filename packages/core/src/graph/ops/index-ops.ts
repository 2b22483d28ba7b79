/** Ops that read or write rows chosen at run time. */
import { ShapeError } from '../../errors.ts';
import { type Shape, sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';

defineOp({
  name: 'gather',
  infer: ([x, indices]) => {
    if (indices!.dtype !== 'int32' || indices!.shape.length !== 1)
      throw new ShapeError('indices are int32 [M]');
    if (x!.shape.length === 0) throw new ShapeError("can't gather rows of a scalar");
    return [{ shape: [indices!.shape[0]!, ...x!.shape.slice(1)], dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x, indices] }) => [scatterAdd(dOutputs[0]!, indices!, x!.shape[0]!), undefined],
});
/**
 * Rows of `x` by index.
 * @param x [R, ...]
 * @param indices int32 [M], each in [0, R)
 * @returns [M, ...]
 */
export function gather(x: Traced, indices: Traced): Traced {
  return x.builder.emit('gather', [x, indices])[0]!;
}

defineOp({
  name: 'scatterAdd',
  infer: ([x, indices], attrs) => {
    if (indices!.dtype !== 'int32' || !sameShape(indices!.shape, [x!.shape[0]!]))
      throw new ShapeError('indices are int32, one for each row');
    if (x!.dtype !== 'float32') throw new ShapeError('expected float32');
    return [{ shape: [attrs.rows as number, ...x!.shape.slice(1)], dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [, indices] }) => [gather(dOutputs[0]!, indices!), undefined],
});
/**
 * Zeros, to which row i of `x` is added at `indices[i]`. For a permutation this is the inverse of {@link gather}.
 * @param x float32 [M, ...]
 * @param indices int32 [M], each in [0, rows)
 * @returns [rows, ...]
 */
export function scatterAdd(x: Traced, indices: Traced, rows: number): Traced {
  return x.builder.emit('scatterAdd', [x, indices], { rows })[0]!;
}

defineOp({
  name: 'updateSlice',
  infer: ([x, update, start], attrs) => {
    const axis = attrs.axis as number;
    if (!(axis >= 0 && axis < x!.shape.length))
      throw new ShapeError(`there is no axis ${axis} in a tensor of rank ${x!.shape.length}`);
    const others = (shape: Shape) => shape.filter((_, i) => i !== axis);
    if (x!.dtype !== update!.dtype || !sameShape(others(x!.shape), others(update!.shape)))
      throw new ShapeError(`the update must be of the target's dtype and fit it outside axis ${axis}`);
    if (update!.shape[axis]! > x!.shape[axis]!) throw new ShapeError('the update is longer than the target');
    if (start!.dtype !== 'int32' || start!.shape.length !== 0)
      throw new ShapeError('start is an int32 scalar');
    return [x!];
  },
  gradient: 'stop',
});
/**
 * A copy of `x` with `update` written at `start` along `axis`, wrapping around at the end: a ring buffer's write.
 * @param start int32 scalar in [0, extent of the axis)
 */
export function updateSlice(x: Traced, update: Traced, start: Traced, axis: number): Traced {
  return x.builder.emit('updateSlice', [x, update, start], { axis })[0]!;
}
