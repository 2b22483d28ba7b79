/** Layer normalisation (Ba et al., arXiv 1607.06450) over the last axis, with its gradient kept whole: backends fuse it. */
import { ShapeError } from '../../errors.ts';
import { sameShape, type TensorType } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';

/** Checks x as [..., D] and the vectors as [D]; gives the type of one number for each row, [..., 1]. */
function statistic(x: TensorType, vectors: readonly TensorType[]): TensorType {
  if (x.shape.length < 1) throw new ShapeError('expected [..., D]');
  const d = x.shape.at(-1)!;
  for (const type of [x, ...vectors]) if (type.dtype !== 'float32') throw new ShapeError('expected float32');
  for (const vector of vectors)
    if (!sameShape(vector.shape, [d])) throw new ShapeError(`expected a vector of ${d} elements`);
  return { shape: [...x.shape.slice(0, -1), 1], dtype: 'float32' };
}

defineOp({
  name: 'layerNorm',
  infer: ([x, gamma, beta]) => {
    const rows = statistic(x!, [gamma!, beta!]);
    return [x!, rows, rows];
  },
  grad: ({ dOutputs, inputs: [x, gamma], outputs: [, mean, inverse] }) => {
    if (dOutputs[1] || dOutputs[2]) throw new ShapeError('layerNorm: the statistics have no gradient');
    return [...layerNormGrad(dOutputs[0]!, x!, gamma!, mean!, inverse!)];
  },
});
/**
 * Normalises each row by its own statistics: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.
 * @param x [..., D]
 * @param gamma [D]
 * @param beta [D]
 * @returns y as x, and the rows' means and 1 / sqrt(biased variance + epsilon), each [..., 1]; no gradient flows through
 * the last two
 */
export function layerNorm(
  x: Traced,
  gamma: Traced,
  beta: Traced,
  epsilon: number,
): [y: Traced, mean: Traced, inverse: Traced] {
  return x.builder.emit('layerNorm', [x, gamma, beta], { epsilon }) as [Traced, Traced, Traced];
}

defineOp({
  name: 'layerNormGrad',
  infer: ([dy, x, gamma, mean, inverse]) => {
    const rows = statistic(x!, [gamma!]);
    if (!sameShape(dy!.shape, x!.shape)) throw new ShapeError('dy must be of the shape of x');
    for (const type of [mean!, inverse!])
      if (!sameShape(type.shape, rows.shape))
        throw new ShapeError(`a statistic should be [${rows.shape.join(', ')}]`);
    return [x!, gamma!, gamma!];
  },
  gradient: 'stop',
});
/**
 * The gradient of {@link layerNorm}, through the statistics too.
 * @param mean [..., 1], @param inverse [..., 1], as layerNorm returned them
 * @returns the gradients by x, gamma and beta
 */
export function layerNormGrad(
  dy: Traced,
  x: Traced,
  gamma: Traced,
  mean: Traced,
  inverse: Traced,
): [dx: Traced, dGamma: Traced, dBeta: Traced] {
  return dy.builder.emit('layerNormGrad', [dy, x, gamma, mean, inverse]) as [Traced, Traced, Traced];
}
