/** The inverse of `concat`. */
import { ShapeError } from '../../errors.ts';
import { filled } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { concat } from './shape.ts';

defineOp({
  name: 'split',
  infer: ([x], attrs) => {
    const axis = attrs.axis as number;
    const sizes = attrs.sizes as readonly number[];
    const { shape, dtype } = x!;
    if (!(axis >= 0 && axis < shape.length))
      throw new ShapeError(`there is no axis ${axis} in a tensor of rank ${shape.length}`);
    const total = sizes.reduce((a, b) => a + b, 0);
    if (sizes.some((size) => size < 1) || total !== shape[axis])
      throw new ShapeError(`parts of [${sizes.join(', ')}] don't make up axis ${axis}`);
    return sizes.map((size) => ({ shape: shape.map((extent, i) => (i === axis ? size : extent)), dtype }));
  },
  grad: ({ dOutputs, outputs, attrs }) => {
    const parts = outputs.map((part, i) => dOutputs[i] ?? part.builder.constant(filled([...part.shape], 0)));
    return [concat(parts, attrs.axis as number)];
  },
});
/**
 * A value cut into parts along one axis, all at once: its gradient is one `concat`, that of slices a sum of padded ones.
 * @param axis negative ones count from the end
 * @param sizes the parts' extents, which add up to the axis
 */
export function split(x: Traced, axis: number, sizes: readonly number[]): Traced[] {
  return x.builder.emit('split', [x], { axis: axis < 0 ? axis + x.shape.length : axis, sizes: [...sizes] });
}
