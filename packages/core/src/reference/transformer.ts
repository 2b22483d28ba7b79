/** The ops of vision transformers, by their definitions. */
import { sizeOf, stridesOf } from '../tensor/tensor.ts';
import { erf } from './elementwise.ts';
import { fill, type Kernel, type Reference } from './kernel.ts';
import { linear } from './linear.ts';

/** Calls back with where each row of [..., D] starts, and with its number. */
function eachRow({ shape, data }: Reference, visit: (start: number, row: number, length: number) => void) {
  const length = shape.at(-1)!;
  for (let row = 0; row < data.length / length; row++) visit(row * length, row, length);
}

/** The standard normal distribution. */
const distribution = (x: number) => (1 + erf(x * Math.SQRT1_2)) / 2;
const density = (x: number) => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

const softmax: Kernel = ([x]) => {
  const y = new Float64Array(x!.data.length);
  eachRow(x!, (start, _, length) => {
    const values = x!.data.subarray(start, start + length);
    const largest = values.reduce((a, b) => Math.max(a, b));
    const powers = values.map((value) => Math.exp(value - largest));
    const total = powers.reduce((a, b) => a + b);
    for (let i = 0; i < length; i++) y[start + i] = powers[i]! / total;
  });
  return [y];
};

export const transformer: Record<string, Kernel> = {
  layerNorm: ([x, gamma, beta], attrs, [, rows]) => {
    const y = new Float64Array(x!.data.length);
    const mean = new Float64Array(sizeOf(rows!.shape));
    const inverse = new Float64Array(mean.length);
    eachRow(x!, (start, row, length) => {
      const values = x!.data.subarray(start, start + length);
      const average = values.reduce((total, value) => total + value, 0) / length;
      const variance = values.reduce((total, value) => total + (value - average) ** 2, 0) / length;
      mean[row] = average;
      inverse[row] = 1 / Math.sqrt(variance + (attrs.epsilon as number));
      for (let i = 0; i < length; i++)
        y[start + i] = gamma!.data[i]! * (values[i]! - average) * inverse[row]! + beta!.data[i]!;
    });
    return [y, mean, inverse];
  },
  layerNormGrad: ([dy, x, gamma, mean, inverse]) => {
    const dx = new Float64Array(x!.data.length);
    const dGamma = new Float64Array(gamma!.data.length);
    const dBeta = new Float64Array(gamma!.data.length);
    eachRow(x!, (start, row, length) => {
      const normal = (i: number) => (x!.data[start + i]! - mean!.data[row]!) * inverse!.data[row]!;
      const inner = (i: number) => dy!.data[start + i]! * gamma!.data[i]!;
      let [average, slope] = [0, 0];
      for (let i = 0; i < length; i++) {
        average += inner(i) / length;
        slope += (inner(i) * normal(i)) / length;
        dGamma[i]! += dy!.data[start + i]! * normal(i);
        dBeta[i]! += dy!.data[start + i]!;
      }
      for (let i = 0; i < length; i++)
        dx[start + i] = inverse!.data[row]! * (inner(i) - average - normal(i) * slope);
    });
    return [dx, dGamma, dBeta];
  },
  gelu: ([x]) => [x!.data.map((value) => value * distribution(value))],
  geluGrad: ([dy, x]) => [
    x!.data.map((value, i) => dy!.data[i]! * (distribution(value) + value * density(value))),
  ],
  softmax,
  softmaxMatmul: ([scores, v], attrs, [y, p]) => {
    const weights = softmax([scores!], attrs, [p!])[0]!;
    const operands = [{ shape: p!.shape, data: weights }, v!];
    return [linear.matmul!(operands, { transposeA: false, transposeB: false }, [y!])[0]!, weights];
  },
  split: ([x], attrs, types) => {
    const axis = attrs.axis as number;
    const strides = stridesOf(x!.shape);
    let first = 0;
    return types.map(({ shape }) => {
      const start = first * strides[axis]!;
      first += shape[axis]!;
      return fill(shape, (index) => x!.data[index.reduce((at, j, a) => at + j * strides[a]!, start)]!);
    });
  },
};
