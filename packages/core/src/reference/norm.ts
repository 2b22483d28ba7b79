import type { Kernel, Reference } from './kernel.ts';

/** Calls back with each element's offset and channel, for [N, C, ...]. */
function eachElement({ shape, data }: Reference, visit: (at: number, channel: number) => void): void {
  const channels = shape[1]!;
  const plane = data.length / (shape[0]! * channels);
  for (let at = 0; at < data.length; at++) visit(at, Math.floor(at / plane) % channels);
}

/** Sums a quantity of each element by channel. */
function channelSums(x: Reference, quantity: (at: number, channel: number) => number): Float64Array {
  const sums = new Float64Array(x.shape[1]!);
  eachElement(x, (at, channel) => {
    sums[channel]! += quantity(at, channel);
  });
  return sums;
}

const perChannel = (x: Reference) => x.data.length / x.shape[1]!;

export const norm: Record<string, Kernel> = {
  batchNorm: ([x, gamma, beta], attrs) => {
    const count = perChannel(x!);
    const mean = channelSums(x!, (at) => x!.data[at]! / count);
    const variance = channelSums(x!, (at, c) => (x!.data[at]! - mean[c]!) ** 2 / count);
    const y = new Float64Array(x!.data.length);
    eachElement(x!, (at, c) => {
      const deviation = Math.sqrt(variance[c]! + (attrs.epsilon as number));
      y[at] = (gamma!.data[c]! * (x!.data[at]! - mean[c]!)) / deviation + beta!.data[c]!;
    });
    return [y, mean, variance];
  },
  batchNormGrad: ([dy, x, gamma, mean, variance], attrs) => {
    const count = perChannel(x!);
    const deviation = variance!.data.map((v) => Math.sqrt(v + (attrs.epsilon as number)));
    const normal = (at: number, c: number) => (x!.data[at]! - mean!.data[c]!) / deviation[c]!;
    const dGamma = channelSums(x!, (at, c) => dy!.data[at]! * normal(at, c));
    const dBeta = channelSums(x!, (at) => dy!.data[at]!);
    const dx = new Float64Array(x!.data.length);
    eachElement(x!, (at, c) => {
      const inner = dy!.data[at]! - dBeta[c]! / count - (normal(at, c) * dGamma[c]!) / count;
      dx[at] = (gamma!.data[c]! / deviation[c]!) * inner;
    });
    return [dx, dGamma, dBeta];
  },
  batchNormInference: ([x, gamma, beta, mean, variance], attrs) => {
    const y = new Float64Array(x!.data.length);
    eachElement(x!, (at, c) => {
      const deviation = Math.sqrt(variance!.data[c]! + (attrs.epsilon as number));
      y[at] = (gamma!.data[c]! * (x!.data[at]! - mean!.data[c]!)) / deviation + beta!.data[c]!;
    });
    return [y];
  },
};
