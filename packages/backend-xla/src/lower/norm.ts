/** Batch and layer normalisation. Variances are sums of squared differences: XLA's own batch_norm_training loses them beside a large mean. */
import { type Shape, sizeOf, type TensorType } from '@moco-ts/core';
import type { Emitter, Value } from './emitter.ts';
import type { Rules } from './rule.ts';

/**
 * Maps [N, C, ...] with statistics of their channels. In groups of the batch the graph has maps as [N / g, g C, ...]: that costs a copy
 * where a convolution keeps channels last, so maps stay as they were, and sums and factors of each image, [N, C], are regrouped instead.
 */
class Maps {
  /** Values that a statistic is of. */
  readonly count: number;
  private readonly emit: Emitter;
  /** [N, C, ...]. */
  private readonly shape: Shape;
  /** [N / g, g C, ...], in which the graph has the maps. */
  private readonly grouped: Shape;

  constructor(emit: Emitter, x: Value) {
    const { shape } = emit.beforeReshape(x);
    this.emit = emit;
    this.grouped = x.shape;
    this.shape = regroups(shape, x.shape) ? shape : x.shape;
    this.count = sizeOf(x.shape) / x.shape[1]!;
  }

  /** A value of the graph as maps. */
  of(x: Value): Value {
    return this.emit.reshape(x, this.shape);
  }

  /** Maps as a value of the graph. */
  back(maps: Value): Value {
    return this.emit.reshape(maps, this.grouped);
  }

  /** [g C]. */
  sums(maps: Value): Value {
    const { emit, shape, grouped } = this;
    if (shape === grouped) return emit.reduce('add', maps, [0, ...inner(shape)]);
    const ofImages = emit.reduce('add', maps, inner(shape));
    return emit.reduce('add', emit.reshape(ofImages, grouped.slice(0, 2)), [0]);
  }

  means(maps: Value): Value {
    return this.emit.binary('multiply', this.sums(maps), this.emit.constant(1 / this.count));
  }

  /** A vector [g C] over the maps. */
  over(vector: Value): Value {
    const { emit, shape, grouped } = this;
    if (shape === grouped) return emit.broadcast(vector, shape, [1]);
    const ofImages = emit.reshape(emit.broadcast(vector, grouped.slice(0, 2), [1]), shape.slice(0, 2));
    return emit.broadcast(ofImages, shape, [0, 1]);
  }
}

/** The axes of [N, C, ...] behind the channels. */
const inner = (shape: Shape): number[] => shape.slice(2).map((_, axis) => axis + 2);

/** Whether `to` has groups of images of `from` beside its channels, and else the same axes. */
const regroups = (from: Shape, to: Shape): boolean =>
  from.length === to.length &&
  from.slice(2).every((extent, i) => extent === to[i + 2]) &&
  from[0]! % to[0]! === 0;

const inverseDeviation = (emit: Emitter, variance: Value, epsilon: number): Value =>
  emit.same('rsqrt', [emit.binary('add', variance, emit.constant(epsilon))]);

/** Maps without their mean, as a value of the graph with the deviation gamma and the mean beta. */
function scaledBy(
  emit: Emitter,
  maps: Maps,
  centred: Value,
  [gamma, beta, variance]: readonly [gamma: Value, beta: Value, variance: Value],
  epsilon: number,
): Value {
  const scale = emit.same('multiply', [gamma, inverseDeviation(emit, variance, epsilon)]);
  const scaled = emit.same('multiply', [centred, maps.over(scale)]);
  return maps.back(emit.same('add', [scaled, maps.over(beta)]));
}

/** Means of rows, [..., 1]. */
const rowMean = (emit: Emitter, x: Value, { shape }: TensorType): Value =>
  emit.mean(x, [x.shape.length - 1], shape);

export const norm: Rules = {
  batchNorm: (emit, [x, gamma, beta], { epsilon }) => {
    const maps = new Maps(emit, x!);
    const own = maps.of(x!);
    const mean = maps.means(own);
    const centred = emit.same('subtract', [own, maps.over(mean)]);
    const variance = maps.means(emit.same('multiply', [centred, centred]));
    return [scaledBy(emit, maps, centred, [gamma!, beta!, variance], epsilon as number), mean, variance];
  },
  batchNormGrad: (emit, [dy, x, gamma, mean, variance], { epsilon }) => {
    const maps = new Maps(emit, x!);
    const [upstream, own] = [maps.of(dy!), maps.of(x!)];
    const inverse = inverseDeviation(emit, variance!, epsilon as number);
    const centred = emit.same('subtract', [own, maps.over(mean!)]);
    const dBeta = maps.sums(upstream);
    const dGamma = emit.same('multiply', [maps.sums(emit.same('multiply', [upstream, centred])), inverse]);
    const share = emit.constant(1 / maps.count);
    const slope = emit.binary('multiply', emit.same('multiply', [dGamma, inverse]), share);
    const level = emit.binary('multiply', dBeta, share);
    const free = emit.same('subtract', [
      emit.same('subtract', [upstream, maps.over(level)]),
      emit.same('multiply', [centred, maps.over(slope)]),
    ]);
    const scale = maps.over(emit.same('multiply', [gamma!, inverse]));
    return [maps.back(emit.same('multiply', [free, scale])), dGamma, dBeta];
  },
  batchNormInference: (emit, [x, gamma, beta, mean, variance], { epsilon }) => {
    const maps = new Maps(emit, x!);
    const centred = emit.same('subtract', [maps.of(x!), maps.over(mean!)]);
    return [scaledBy(emit, maps, centred, [gamma!, beta!, variance!], epsilon as number)];
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
