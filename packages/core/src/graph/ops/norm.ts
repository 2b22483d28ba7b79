/** Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167), with its gradient kept whole: backends fuse it. */
import { ShapeError } from '../../errors.ts';
import { filled, type Shape, sameShape, sizeOf, type TensorType } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { add, div, mul, neg, sqrt, sub } from './elementwise.ts';
import { floatOf } from './float.ts';
import { sum } from './reduce.ts';
import { broadcastTo, reshape } from './shape.ts';

/** Checks x as [N, C, ...] and the others as [C]; gives C. */
function channels(x: TensorType, vectors: readonly TensorType[]): number {
  if (x.shape.length < 2) throw new ShapeError('expected [N, C, ...]');
  const c = x.shape[1]!;
  floatOf(x);
  for (const type of vectors) if (type.dtype !== 'float32') throw new ShapeError('expected float32');
  for (const vector of vectors)
    if (!sameShape(vector.shape, [c])) throw new ShapeError(`expected a vector of ${c} channels`);
  return c;
}

const perChannel = (shape: Shape) => shape.map((extent, axis) => (axis === 1 ? extent : 1));
const otherAxes = (shape: Shape) => shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));

defineOp({
  name: 'batchNorm',
  infer: ([x, gamma, beta]) => {
    const vector: TensorType = { shape: [channels(x!, [gamma!, beta!])], dtype: 'float32' };
    return [x!, vector, vector];
  },
  grad: ({
    dOutputs: [dy, dMean, dVariance],
    inputs: [x, gamma],
    outputs: [, mean, variance],
    attrs,
    needs,
  }) => {
    const [dx, dGamma, dBeta] = dy
      ? batchNormGrad(dy, x!, gamma!, mean!, variance!, attrs.epsilon as number)
      : [];
    const through = needs[0] ? statisticsGrad(x!, mean!, dMean, dVariance) : [];
    const parts = [...(dx ? [dx] : []), ...through];
    const none = () => gamma!.builder.constant(filled(gamma!.shape, 0));
    return [
      parts.length > 0 ? parts.reduce((total, part) => add(total, part)) : undefined,
      dGamma ?? none(),
      dBeta ?? none(),
    ];
  },
  again: ({ inputs: [x, gamma, beta], outputs: [, mean, variance], attrs }) =>
    mean && variance
      ? [batchNormInference(x!, gamma!, beta!, mean, variance, attrs.epsilon as number), mean, variance]
      : undefined,
});
/**
 * Normalises each channel by the batch's own statistics: y = gamma (x - mean) / sqrt(variance + epsilon) + beta.
 * @param x [N, C, ...]
 * @param gamma [C]
 * @param beta [C]
 * @returns y as x, and the batch's mean and biased variance, each [C]
 */
export function batchNorm(
  x: Traced,
  gamma: Traced,
  beta: Traced,
  epsilon: number,
): [y: Traced, mean: Traced, variance: Traced] {
  return x.builder.emit('batchNorm', [x, gamma, beta], { epsilon }) as [Traced, Traced, Traced];
}

/** The gradients by x through the batch's mean and variance. */
function statisticsGrad(
  x: Traced,
  mean: Traced,
  dMean: Traced | undefined,
  dVariance: Traced | undefined,
): Traced[] {
  const along = (vector: Traced) => reshape(vector, perChannel(x.shape));
  const each = x.shape[1]! / sizeOf(x.shape);
  return [
    ...(dMean ? [broadcastTo(along(mul(dMean, each)), x.shape)] : []),
    ...(dVariance ? [mul(sub(x, along(mean)), along(mul(dVariance, 2 * each)))] : []),
  ];
}

defineOp({
  name: 'batchNormGrad',
  infer: ([dy, x, gamma, mean, variance]) => {
    channels(x!, [gamma!, mean!, variance!]);
    floatOf(dy!, x!);
    if (!sameShape(dy!.shape, x!.shape)) throw new ShapeError('dy must be of the shape of x');
    return [x!, gamma!, gamma!];
  },
  gradient: 'stop',
});
/**
 * The gradient of {@link batchNorm}, through the statistics too.
 * @param mean the batch's mean [C], @param variance its biased variance [C], as batchNorm returned them
 * @returns the gradients by x, gamma and beta
 */
export function batchNormGrad(
  dy: Traced,
  x: Traced,
  gamma: Traced,
  mean: Traced,
  variance: Traced,
  epsilon: number,
): [dx: Traced, dGamma: Traced, dBeta: Traced] {
  const outputs = dy.builder.emit('batchNormGrad', [dy, x, gamma, mean, variance], { epsilon });
  return outputs as [Traced, Traced, Traced];
}

defineOp({
  name: 'batchNormInference',
  infer: ([x, gamma, beta, mean, variance]) => {
    channels(x!, [gamma!, beta!, mean!, variance!]);
    return [x!];
  },
  grad: ({ dOutputs, inputs, attrs, needs }) => {
    const [x, gamma, , mean, variance] = inputs as [Traced, Traced, Traced, Traced, Traced];
    const dy = dOutputs[0]!;
    const along = (vector: Traced) => reshape(vector, perChannel(x.shape));
    const axes = otherAxes(x.shape);
    const deviation = sqrt(add(variance, attrs.epsilon as number));
    const dBeta = sum(dy, axes);
    const dGamma = div(sum(mul(dy, sub(x, along(mean))), axes), deviation);
    const scale = div(gamma, deviation);
    return [
      needs[0] ? mul(dy, along(scale)) : undefined,
      needs[1] ? dGamma : undefined,
      needs[2] ? dBeta : undefined,
      needs[3] ? neg(mul(dBeta, scale)) : undefined,
      needs[4] ? neg(div(mul(mul(dGamma, gamma), 0.5), mul(deviation, deviation))) : undefined,
    ];
  },
});
/** Normalises each channel by given statistics, as in evaluation mode. Shapes as in {@link batchNorm}. */
export function batchNormInference(
  x: Traced,
  gamma: Traced,
  beta: Traced,
  mean: Traced,
  variance: Traced,
  epsilon: number,
): Traced {
  return x.builder.emit('batchNormInference', [x, gamma, beta, mean, variance], { epsilon })[0]!;
}
