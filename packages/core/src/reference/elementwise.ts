import { type DType, isFloat, type Tensor } from '../tensor/tensor.ts';
import { fill, type Kernel, offsetIn } from './kernel.ts';

const unary =
  (compute: (x: number) => number): Kernel =>
  ([x]) => [x!.data.map(compute)];

const broadcasting =
  (compute: (...values: number[]) => number): Kernel =>
  (inputs, _, [type]) => [
    fill(type!.shape, (index) =>
      compute(...inputs.map((input) => input.data[offsetIn(input.shape, index)]!)),
    ),
  ];

/** erf by its Maclaurin series for small |x| and by the continued fraction of erfc beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
export function erf(x: number): number {
  const magnitude = Math.abs(x);
  if (magnitude < 2.5) {
    let term = x;
    let total = x;
    for (let n = 1; n < 100; n++) {
      term *= (-x * x) / n;
      total += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * total;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (magnitude + fraction);
  const complement = Math.exp(-x * x) / Math.sqrt(Math.PI) / (magnitude + fraction);
  return Math.sign(x) * (1 - complement);
}

export const elementwise: Record<string, Kernel> = {
  constant: (_, { tensor }) => [Float64Array.from((tensor as Tensor).data)],
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  tanh: unary(Math.tanh),
  abs: unary(Math.abs),
  erf: unary(erf),
  relu: unary((x) => Math.max(x, 0)),
  stopGradient: unary((x) => x),
  add: broadcasting((a, b) => a! + b!),
  sub: broadcasting((a, b) => a! - b!),
  mul: broadcasting((a, b) => a! * b!),
  div: broadcasting((a, b) => a! / b!),
  maximum: broadcasting((a, b) => Math.max(a!, b!)),
  greater: broadcasting((a, b) => Number(a! > b!)),
  greaterEqual: broadcasting((a, b) => Number(a! >= b!)),
  less: broadcasting((a, b) => Number(a! < b!)),
  equal: broadcasting((a, b) => Number(a! === b!)),
  reluGrad: broadcasting((dy, y) => (y! > 0 ? dy! : 0)),
  select: broadcasting((condition, a, b) => (condition! !== 0 ? a! : b!)),
  cast: ([x], { dtype }) => {
    if (dtype === 'bool') return [x!.data.map((value) => Number(value !== 0))];
    return [isFloat(dtype as DType) ? x!.data.slice() : x!.data.map(Math.trunc)];
  },
};
