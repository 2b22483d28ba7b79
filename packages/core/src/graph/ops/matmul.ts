/** Matrix products. */
import { ShapeError } from '../../errors.ts';
import { sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';

export interface MatmulOptions {
  /** Use the last two axes of `a` in reverse order. */
  readonly transposeA?: boolean;
  /** Use the last two axes of `b` in reverse order. */
  readonly transposeB?: boolean;
}

defineOp({
  name: 'matmul',
  infer: ([a, b], { transposeA, transposeB }) => {
    const rank = a!.shape.length;
    if (rank < 2 || b!.shape.length !== rank) throw new ShapeError('expected two operands of one rank >= 2');
    if (a!.dtype !== 'float32' || b!.dtype !== 'float32') throw new ShapeError('expected float32');
    const batch = a!.shape.slice(0, -2);
    if (!sameShape(batch, b!.shape.slice(0, -2))) throw new ShapeError('the leading axes differ');
    const [m, inner] = oriented(a!.shape, transposeA as boolean);
    const [other, n] = oriented(b!.shape, transposeB as boolean);
    if (inner !== other) throw new ShapeError(`inner extents ${inner} and ${other} differ`);
    return [{ shape: [...batch, m, n], dtype: 'float32' }];
  },
  grad: ({ dOutputs, inputs: [a, b], attrs, needs }) => {
    const dy = dOutputs[0]!;
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
  const { transposeA = false, transposeB = false } = options;
  return a.builder.emit('matmul', [a, b], { transposeA, transposeB })[0]!;
}
