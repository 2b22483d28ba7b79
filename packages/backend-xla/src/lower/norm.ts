/** Batch and layer normalisation. Variances are sums of squared differences: XLA's own batch_norm_training loses them beside a large mean. */
import { sizeOf, type TensorType } from '@moco-ts/core';
import type { Emitter, Value } from './emitter.ts';
import type { Rules } from './rule.ts';

/** All axes but the channels' of [N, C, ...]. */
const others = (x: Value): number[] => x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));

const inverseDeviation = (emit: Emitter, variance: Value, epsilon: number): Value =>
  emit.same('rsqrt', [emit.binary('add', variance, emit.constant(epsilon))]);

/** Means of rows, [..., 1]. */
const rowMean = (emit: Emitter, x: Value, { shape }: TensorType): Value =>
  emit.mean(x, [x.shape.length - 1], shape);

export const norm: Rules = {
  batchNorm: (emit, [x, gamma, beta], { epsilon }, [, statistics]) => {
    const mean = emit.mean(x!, others(x!), statistics!.shape);
    const centred = emit.same('subtract', [x!, emit.perChannel(mean, x!)]);
    const variance = emit.mean(emit.same('multiply', [centred, centred]), others(x!), statistics!.shape);
    const scale = emit.same('multiply', [gamma!, inverseDeviation(emit, variance, epsilon as number)]);
    const scaled = emit.same('multiply', [centred, emit.perChannel(scale, x!)]);
    return [emit.same('add', [scaled, emit.perChannel(beta!, x!)]), mean, variance];
  },
  batchNormGrad: (emit, [dy, x, gamma, mean, variance], { epsilon }) => {
    const inverse = inverseDeviation(emit, variance!, epsilon as number);
    const centred = emit.same('subtract', [x!, emit.perChannel(mean!, x!)]);
    const dBeta = emit.reduce('add', dy!, others(x!));
    const products = emit.reduce('add', emit.same('multiply', [dy!, centred]), others(x!));
    const dGamma = emit.same('multiply', [products, inverse]);
    const share = emit.constant(1 / sizeOf(others(x!).map((axis) => x!.shape[axis]!)));
    const slope = emit.binary('multiply', emit.same('multiply', [dGamma, inverse]), share);
    const level = emit.binary('multiply', dBeta, share);
    const inner = emit.same('subtract', [
      emit.same('subtract', [dy!, emit.perChannel(level, x!)]),
      emit.same('multiply', [centred, emit.perChannel(slope, x!)]),
    ]);
    const scale = emit.perChannel(emit.same('multiply', [gamma!, inverse]), x!);
    return [emit.same('multiply', [inner, scale]), dGamma, dBeta];
  },
  batchNormInference: (emit, [x, gamma, beta, mean, variance], { epsilon }) => {
    const scale = emit.same('multiply', [gamma!, inverseDeviation(emit, variance!, epsilon as number)]);
    const centred = emit.same('subtract', [x!, emit.perChannel(mean!, x!)]);
    const scaled = emit.same('multiply', [centred, emit.perChannel(scale, x!)]);
    return [emit.same('add', [scaled, emit.perChannel(beta!, x!)])];
  },
  layerNorm: (emit, [x, gamma, beta], { epsilon }, [type, statistics]) => {
    const mean = rowMean(emit, x!, statistics!);
    const centred = emit.binary('subtract', x!, mean, type!.shape);
    const variance = rowMean(emit, emit.same('multiply', [centred, centred]), statistics!);
    const inverse = inverseDeviation(emit, variance, epsilon as number);
    const normal = emit.binary('multiply', centred, inverse, type!.shape);
    const scaled = emit.binary('multiply', normal, gamma!, type!.shape);
    return [emit.binary('add', scaled, beta!, type!.shape), mean, inverse];
  },
  layerNormGrad: (emit, [dy, x, gamma, mean, inverse], _, [type]) => {
    const { shape } = type!;
    const leading = shape.slice(0, -1).map((_extent, axis) => axis);
    const normal = emit.binary('multiply', emit.binary('subtract', x!, mean!, shape), inverse!, shape);
    const inner = emit.binary('multiply', dy!, gamma!, shape);
    const along = rowMean(emit, emit.same('multiply', [inner, normal]), mean!);
    const centred = emit.binary('subtract', inner, rowMean(emit, inner, mean!), shape);
    const free = emit.same('subtract', [centred, emit.binary('multiply', normal, along, shape)]);
    return [
      emit.binary('multiply', free, inverse!, shape),
      emit.reduce('add', emit.same('multiply', [dy!, normal]), leading),
      emit.reduce('add', dy!, leading),
    ];
  },
};
