/**
 * Batch normalisation on blocked data. Per-channel work is depthwise convolution there: an affine map is a 1x1 filter
 * with a bias, and a sum of products over each map is a convolution of one map with the other as its filter.
 */
import type { Shape4 } from '@moco-ts/core';
import { inverseDeviation } from '@moco-ts/onnx';
import { type BlockedLowering, nchwc } from './lowering.ts';
import type { BlockedRule } from './rule.ts';

/** x times a factor for each channel, plus a bias for each, plus an addend of the same shape. */
function affine(
  lowering: BlockedLowering,
  x: string,
  channels: number,
  factor: string,
  bias: string,
  addend = '',
  relu = false,
): string {
  const filter = lowering.reshape(factor, [channels, 1, 1, 1]);
  const inputs = addend === '' ? [x, filter, bias] : [x, filter, bias, addend];
  const attributes = { kernel_shape: [1, 1], group: channels, ...(relu ? { activation: 'Relu' } : {}) };
  return lowering.onnx.op('Conv', inputs, attributes, nchwc);
}

/**
 * The statistics of a `data` value as partial reductions over row tiles of its maps, [N, C/B, T, B], each about its own mean:
 * sums of squares about 0 over the entire batch would cancel in float32, and centring first takes one more pass over the value.
 */
class PartialReductions {
  private readonly lowering: BlockedLowering;
  private readonly shape: Shape4;
  /** Rows of a map in one tile, and pixels. */
  private readonly rows: number;
  readonly pixels: number;
  /** Pixels of a channel in the whole batch. */
  readonly count: number;

  constructor(lowering: BlockedLowering, shape: Shape4) {
    const [batch, , height, width] = shape;
    this.lowering = lowering;
    this.shape = shape;
    let rows = Math.max(1, Math.min(height, Math.floor(tilePixels / width)));
    while (height % rows !== 0) rows--;
    this.rows = rows;
    this.pixels = rows * width;
    this.count = batch * height * width;
  }

  private get perMap(): number {
    return this.shape[2] / this.rows;
  }

  /** All tiles as maps of one image. */
  private maps(name: string, channelFirst: boolean): [view: string, tiles: number] {
    const [batch, channels, , width] = this.shape;
    const tiles = batch * channels * this.perMap;
    const lead = channelFirst ? [tiles, 1] : [1, tiles];
    return [this.lowering.reshape(name, [...lead, this.rows, width]), tiles];
  }

  private byTile(name: string): string {
    const { block } = this.lowering;
    const [batch, channels] = this.shape;
    return this.lowering.reshape(name, [batch, channels / block, this.perMap, block]);
  }

  /** Means, by tile. */
  means(name: string): string {
    return this.lowering.once(`tile means ${name}`, () => {
      const [view] = this.maps(name, false);
      return this.byTile(this.lowering.onnx.op('GlobalAveragePool', [view], {}, nchwc));
    });
  }

  /** Sums of a * b, by tile. */
  dots(a: string, b: string): string {
    const [map, tiles] = this.maps(a, false);
    const [filter] = this.maps(b, true);
    const attributes = { kernel_shape: [this.rows, this.shape[3]], group: tiles };
    return this.byTile(this.lowering.onnx.op('Conv', [map, filter], attributes, nchwc));
  }

  /** Values by tile times the pixels of one. */
  timesPixels(name: string): string {
    const { onnx, block } = this.lowering;
    // Not a scalar: see flat-tiles.ts.
    const factor = onnx.full([this.shape[1] / block, this.perMap, block], this.pixels);
    return onnx.op('Mul', [name, factor]);
  }

  /** Sums over tiles, by channel: [C]. */
  sum(name: string): string {
    const { onnx } = this.lowering;
    const sums = onnx.op('ReduceSum', [name, onnx.ints([0, 2])], { keepdims: 0 });
    return this.lowering.reshape(sums, [this.shape[1]]);
  }

  /** Means over tiles, by channel: [C]. */
  mean(name: string): string {
    const { onnx } = this.lowering;
    const means = onnx.op('ReduceMean', [name, onnx.ints([0, 2])], { keepdims: 0 });
    return this.lowering.reshape(means, [this.shape[1]]);
  }

  /** How far the tiles' means are from their channels'. */
  deviations(name: string, mean: string): string {
    const { onnx, block } = this.lowering;
    return this.lowering.once(`tile deviations ${name} ${mean}`, () => {
      const along = this.lowering.reshape(mean, [this.shape[1] / block, 1, block]);
      return onnx.op('Sub', [this.means(name), along]);
    });
  }

  /** Sums over the batch of (a - mean a)(b - mean b), by channel, given the mean of b: [C]. */
  products(a: string, b: string, meanOfB: string): string {
    const { onnx } = this.lowering;
    const [meansOfA, deviations] = [this.means(a), this.deviations(b, meanOfB)];
    const weighted = this.timesPixels(meansOfA);
    const within = onnx.op('Sub', [this.dots(a, b), onnx.op('Mul', [weighted, this.means(b)])]);
    const between = onnx.op('Mul', [weighted, deviations]);
    return onnx.op('Add', [this.sum(within), this.sum(between)]);
  }
}

/** Pixels of a tile at most: the longest sum in float32. */
const tilePixels = 256;

export const batchNorm: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [x, gamma, beta] = inputs as [number, number, number];
  const [y, mean, variance] = outputs as [number, number, number];
  if (!lowering.fitsData(x)) return false;
  const { onnx } = lowering;
  const shape = lowering.shape(x) as Shape4;
  const partial = new PartialReductions(lowering, shape);
  const data = lowering.data(x);
  const average = partial.mean(partial.means(data));
  lowering.set(mean, average);
  const squares = partial.products(data, data, average);
  // Rounding may leave less than nothing of a constant channel.
  lowering.set(variance, onnx.op('Relu', [onnx.op('Mul', [squares, onnx.scalar(1 / partial.count)])]));
  normalise(lowering, { x, gamma, beta, mean, variance, y, epsilon: attrs.epsilon as number });
  return true;
};

export const batchNormInference: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [x, gamma, beta, mean, variance] = inputs as [number, number, number, number, number];
  if (!lowering.fitsData(x) || lowering.layoutOf(x) !== 'data') return false;
  const y = outputs[0]!;
  normalise(lowering, { x, gamma, beta, mean, variance, y, epsilon: attrs.epsilon as number });
  return true;
};

/** What is normalised by which values. */
type Normalised = Readonly<Record<'x' | 'gamma' | 'beta' | 'mean' | 'variance' | 'y' | 'epsilon', number>>;

/** y = factor x + bias, put off: what follows may be fused into it. */
function normalise(lowering: BlockedLowering, normalised: Normalised): void {
  const { x, gamma, beta, mean, variance, y, epsilon } = normalised;
  const { onnx } = lowering;
  const data = lowering.data(x);
  const deviation = inverseDeviation(lowering, variance, epsilon);
  const factor = onnx.op('Mul', [lowering.get(gamma), deviation]);
  const bias = onnx.op('Sub', [lowering.get(beta), onnx.op('Mul', [factor, lowering.get(mean)])]);
  lowering.defer(y, {
    emit: (addend, relu) => affine(lowering, data, lowering.shape(x)[1]!, factor, bias, addend, relu),
  });
}

export const batchNormGrad: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const [dy, x, gamma, mean, variance] = inputs as [number, number, number, number, number];
  const [dx, dGamma, dBeta] = outputs as [number, number, number];
  if (!lowering.fitsData(x)) return false;
  const { onnx } = lowering;
  const shape = lowering.shape(x) as Shape4;
  const partial = new PartialReductions(lowering, shape);
  const data = lowering.data(x);
  const deviation = inverseDeviation(lowering, variance, attrs.epsilon as number);
  const gradient = lowering.data(dy);
  const average = partial.mean(partial.means(gradient));
  const projected = onnx.op('Mul', [partial.products(gradient, data, lowering.get(mean)), deviation]);
  // dx = s (dy - mean(dy)) - s r^2 mean(dy c) c, with c = x - mean, r the inverse deviation, s = gamma r.
  const scale = onnx.op('Mul', [lowering.get(gamma), deviation]);
  const share = onnx.op('Mul', [onnx.op('Mul', [projected, deviation]), onnx.scalar(-1 / partial.count)]);
  const slope = onnx.op('Mul', [scale, share]);
  const shift = onnx.op('Mul', [slope, lowering.get(mean)]);
  const bias = onnx.op('Neg', [onnx.op('Add', [onnx.op('Mul', [scale, average]), shift])]);
  const along = affine(lowering, data, shape[1], slope, bias);
  const zero = onnx.full([shape[1]], 0);
  lowering.setIn('data', dx, affine(lowering, gradient, shape[1], scale, zero, along));
  lowering.set(dGamma, projected);
  lowering.set(dBeta, onnx.op('Mul', [average, onnx.scalar(partial.count)]));
  return true;
};
