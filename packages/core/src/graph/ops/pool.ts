/** Max pooling. (Average pooling over whole maps is `mean` over the axes 2 and 3.) */
import { ShapeError } from '../../errors.ts';
import { isFloat, sameShape, type TensorType } from '../../tensor/tensor.ts';
import type { Attributes } from '../graph.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { floatOf } from './float.ts';

export interface PoolOptions {
  readonly kernel: number;
  readonly stride: number;
  /** At most half the kernel, so that each window has a real element; padding is never the maximum. */
  readonly padding: number;
}

export function poolAttributes(attrs: Attributes): PoolOptions {
  return attrs as unknown as PoolOptions;
}

function pooledType(x: TensorType, attrs: Attributes): TensorType {
  const { kernel, stride, padding } = poolAttributes(attrs);
  if (x.shape.length !== 4 || !isFloat(x.dtype)) throw new ShapeError('expected floats [N, C, H, W]');
  if (padding * 2 > kernel) throw new ShapeError('padding is at most half the kernel');
  const extent = (length: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  const [n, c, height, width] = x.shape as [number, number, number, number];
  if (extent(height) < 1 || extent(width) < 1)
    throw new ShapeError('the window is larger than the padded input');
  return { shape: [n, c, extent(height), extent(width)], dtype: x.dtype };
}

defineOp({
  name: 'maxPool2d',
  infer: ([x], attrs) => [pooledType(x!, attrs)],
  grad: ({ dOutputs, inputs: [x], outputs: [y], attrs }) => [
    maxPool2dGrad(dOutputs[0]!, x!, y!, poolAttributes(attrs)),
  ],
});
/**
 * @param x [N, C, H, W]
 * @returns [N, C, (H + 2 padding - kernel) / stride + 1, ...], rounded down
 */
export function maxPool2d(x: Traced, options: PoolOptions): Traced {
  const { kernel, stride, padding } = options;
  return x.builder.emit('maxPool2d', [x], { kernel, stride, padding })[0]!;
}

defineOp({
  name: 'maxPool2dGrad',
  infer: ([dy, x, y], attrs) => {
    const pooled = pooledType(x!, attrs);
    floatOf(dy!, x!, y!);
    if (!sameShape(dy!.shape, pooled.shape) || !sameShape(y!.shape, pooled.shape))
      throw new ShapeError(`dy and y should be [${pooled.shape.join(', ')}]`);
    return [x!];
  },
  gradient: 'stop',
});
/**
 * The gradient of {@link maxPool2d}: a window's dy goes to its first largest element in row-major order, as in PyTorch.
 * @param dy [N, C, OH, OW]
 * @param x [N, C, H, W]
 * @param y the pooled output, as dy
 */
export function maxPool2dGrad(dy: Traced, x: Traced, y: Traced, options: PoolOptions): Traced {
  const { kernel, stride, padding } = options;
  return dy.builder.emit('maxPool2dGrad', [dy, x, y], { kernel, stride, padding })[0]!;
}
