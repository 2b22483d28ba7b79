/** Matrix products. */
import { ShapeError } from '../../errors.ts';
import { sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { cast } from './elementwise.ts';
import { floatOf } from './float.ts';

export interface MatmulOptions {
  /** Use the last two axes of `a` in reverse order. */
  readonly transposeA?: boolean;
  /** Use the last two axes of `b` in reverse order. */
  readonly transposeB?: boolean;
  /** Of operands of a reduced type: the sum as it is. Default it is rounded to their type. */
  readonly dtype?: 'float32';
}

defineOp({
  name: 'matmul',
  infer: ([a, b], attrs) => {
    const { transposeA, transposeB, dtype } = attrs as MatmulOptions & typeof attrs;
    const rank = a!.shape.length;
    if (rank < 2 || b!.shape.length !== rank) throw new ShapeError('expected two operands of one rank >= 2');
    const operands = floatOf(a!, b!);
    const batch = a!.shape.slice(0, -2);
    if (!sameShape(batch, b!.shape.slice(0, -2))) throw new ShapeError('the leading axes differ');
    const [m, inner] = oriented(a!.shape, transposeA === true);
    const [other, n] = oriented(b!.shape, transposeB === true);
    if (inner !== other) throw new ShapeError(`inner extents ${inner} and ${other} differ`);
    return [{ shape: [...batch, m, n], dtype: dtype ?? operands }];
  },
  grad: ({ dOutputs, inputs: [a, b], attrs, needs }) => {
    const dy = cast(dOutputs[0]!, a!.dtype);
    const { transposeA, transposeB } = attrs as MatmulOptions & typeof attrs;
    const dA = () =>
      transposeA
        ? matmul(b!, dy, { transposeA: transposeB === true, transposeB: true })
        : matmul(dy, b!, { transposeB: transposeB !== true });
    const dB = () =>
      transposeB
        ? matmul(dy, a!, { transposeA: true, transposeB: transposeA === true })
        : matmul(a!, dy, { transposeA: transposeA !== true });
    return [needs[0] ? dA() : undefined, needs[1] ? dB() : undefined];
  },
});

function oriented(shape: readonly number[], transposed: boolean): [number, number] {
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

/**
 * The product of matrices, one for each index of the equal leading axes.
 * @param a [..., m, k] ([..., k, m] when transposed)
 * @param b [..., k, n] ([..., n, k] when transposed)
 * @returns [..., m, n]
 */
export function matmul(a: Traced, b: Traced, options: MatmulOptions = {}): Traced {
  const { transposeA = false, transposeB = false, dtype } = options;
  return a.builder.emit('matmul', [a, b], { transposeA, transposeB, ...(dtype && { dtype }) })[0]!;
}
