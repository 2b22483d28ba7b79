/** Activations that engines have as one op: GELU and softmax. */
import { ShapeError } from '../../errors.ts';
import { sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { mul, sub } from './elementwise.ts';
import { floatOf } from './float.ts';
import { sum } from './reduce.ts';

defineOp({
  name: 'gelu',
  infer: ([x]) => {
    floatOf(x!);
    return [x!];
  },
  grad: ({ dOutputs, inputs: [x] }) => [geluGrad(dOutputs[0]!, x!)],
});
/** x / 2 (1 + erf(x / sqrt 2)), the exact form (Hendrycks and Gimpel, arXiv 1606.08415), not the one by tanh. */
export function gelu(x: Traced): Traced {
  return x.builder.emit('gelu', [x])[0]!;
}

defineOp({
  name: 'geluGrad',
  infer: ([dy, x]) => {
    floatOf(dy!, x!);
    if (!sameShape(dy!.shape, x!.shape)) throw new ShapeError('expected two operands of one shape');
    return [x!];
  },
  gradient: 'stop',
});
/** The gradient of {@link gelu}: dy (F(x) + x f(x)), with the normal distribution F and its density f. */
export function geluGrad(dy: Traced, x: Traced): Traced {
  return dy.builder.emit('geluGrad', [dy, x])[0]!;
}

defineOp({
  name: 'softmax',
  infer: ([x]) => {
    if (x!.dtype !== 'float32') throw new ShapeError('expected float32');
    if (x!.shape.length < 1) throw new ShapeError('expected [..., D]');
    return [x!];
  },
  grad: ({ dOutputs, outputs: [y] }) => {
    const dy = dOutputs[0]!;
    return [mul(y!, sub(dy, sum(mul(dy, y!), [-1], true)))];
  },
});
/**
 * exp(x) by rows, each divided by its sum; safe for large values.
 * @param x [..., D]
 */
export function softmax(x: Traced): Traced {
  return x.builder.emit('softmax', [x])[0]!;
}
