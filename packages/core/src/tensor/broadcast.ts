import { ShapeError } from '../errors.ts';
import { type Shape, sameShape } from './tensor.ts';

/**
 * The common shape of two operands under NumPy's broadcasting rule.
 * @throws ShapeError when an axis differs and neither side is 1
 */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1)
      throw new ShapeError(`shapes [${a.join(', ')}] and [${b.join(', ')}] don't broadcast (axis ${axis})`);
    return left === 1 ? right : left;
  });
}

/** The axes of `to` over which a gradient is summed to come back to the shape `from`. */
export function broadcastAxes(from: Shape, to: Shape): number[] {
  const lead = to.length - from.length;
  return to.flatMap((extent, axis) =>
    axis < lead || (from[axis - lead] === 1 && extent !== 1) ? [axis] : [],
  );
}

/**
 * Axes in 0..rank-1, sorted; negative axes count from the end.
 * @throws ShapeError for an axis out of range or named twice
 */
export function normalizeAxes(axes: readonly number[], rank: number): number[] {
  const normal = axes.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
  if (normal.some((axis, i) => axis < 0 || axis >= rank || axis === normal[i - 1]))
    throw new ShapeError(`axes [${axes.join(', ')}] don't fit a tensor of rank ${rank}`);
  return normal;
}
