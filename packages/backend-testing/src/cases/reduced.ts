/** Types of two bytes between nodes: rounding, products with their gradients, and what follows them in mixed precision. */
import {
  add,
  batchNorm,
  type ConvOptions,
  cast,
  conv2d,
  conv2dFilterGrad,
  conv2dInputGrad,
  gelu,
  matmul,
  maxPool2d,
  mul,
  neg,
  type ReducedDType,
  relu,
  type Shape,
  softmaxMatmul,
  sub,
  type Tensor,
  type Traced,
} from '@moco-ts/core';
import { type Case, type Draw, makeCase, normal, values } from './case.ts';

/** Casts whose results are exact: ties to both sides and numbers beside them; the end of the range, and beyond it. */
const casts: Readonly<Record<ReducedDType, Readonly<Record<string, readonly number[]>>>> = {
  bfloat16: {
    ties: [1.00390625, 1.01171875, 1.0039063, 1.005, -1.00390625, -1.01171875, 0],
    'the end of the range': [3.38e38, 3.4e38, -3.4e38],
  },
  float16: {
    ties: [1.00048828125, 1.00146484375, 1.0004884, 1.0006, -1.00048828125, -1.00146484375, 0],
    'the end of the range': [65504, 65519.5, 65520, -70000],
    'below the smallest normal number': [6.2e-5, 6e-8, 2.9e-8, -1e-6],
  },
};

const convolutions: readonly (readonly [x: Shape, w: Shape, ConvOptions])[] = [
  [[2, 3, 5, 5], [4, 3, 3, 3], { padding: 1 }],
  [[4, 3, 8, 8], [16, 3, 7, 7], { stride: 2, padding: 3 }],
  [[16, 16, 4, 4], [32, 16, 1, 1], {}],
  [[16, 16, 5, 5], [16, 16, 3, 3], { stride: 2, padding: 1 }],
  [[2, 8, 4, 4], [8, 4, 3, 3], { padding: 1, groups: 2 }],
];

const pairs: readonly (readonly [name: string, op: (a: Traced, b: Traced) => Traced])[] = [
  ['add', add],
  ['sub', sub],
  ['mul', mul],
];
const units: readonly (readonly [name: string, op: (x: Traced) => Traced])[] = [
  ['neg', neg],
  ['relu', relu],
  ['gelu', gelu],
];

type Inputs = Readonly<Record<string, Draw | Tensor>>;

/** Inputs are float32, as all that comes from a host; `body` has them rounded, and its result goes back. */
const roundedCase =
  (type: ReducedDType) =>
  (
    op: string,
    name: string,
    inputs: Inputs,
    body: (...operands: Traced[]) => Traced,
    options: Partial<Case> = {},
  ) =>
    makeCase(
      op,
      `${type} ${name}`,
      inputs,
      (given) => cast(body(...Object.keys(inputs).map((key) => cast(given[key]!, type))), 'float32'),
      { reduced: type, rough: true, ...options },
    );

function productsOf(type: ReducedDType): Case[] {
  const reduced = roundedCase(type);
  return [
    ...convolutions.flatMap(([x, w, options]) => {
      const title = `[${x.join(', ')}] [${w.join(', ')}]`;
      const [batch, , height] = x as [number, number, number];
      const side = Math.floor((height + 2 * (options.padding ?? 0) - w[2]!) / (options.stride ?? 1)) + 1;
      const dy = [batch, w[0]!, side, side];
      return [
        reduced('conv2d', title, { x: normal(x), w: normal(w) }, (a, b) => conv2d(a!, b!, options)),
        reduced('conv2dInputGrad', title, { dy: normal(dy), w: normal(w) }, (a, b) =>
          conv2dInputGrad(a!, b!, x, options),
        ),
        reduced('conv2dFilterGrad', title, { x: normal(x), dy: normal(dy) }, (a, b) =>
          conv2dFilterGrad(a!, b!, w, options),
        ),
      ];
    }),
    ...[false, true].map((transposeB) => {
      const b = transposeB ? [3, 4, 8] : [3, 8, 4];
      const inputs = { a: normal([3, 5, 8]), b: normal(b) };
      return reduced('matmul', `[3, 5, 8] [${b.join(', ')}]`, inputs, (x, y) =>
        matmul(x!, y!, { transposeB }),
      );
    }),
    reduced(
      'matmul',
      'a long inner axis, to float32',
      { a: normal([2, 2000]), b: normal([2000, 3]) },
      (a, b) => matmul(a!, b!, { dtype: 'float32' }),
    ),
    // The weights are rounded before the result.
    reduced(
      'softmaxMatmul',
      '[2, 4, 6]',
      { s: normal([2, 4, 6]), v: normal([2, 6, 3]) },
      (s, v) => softmaxMatmul(s!, v!)[0],
      { roundings: 2, through: [] },
    ),
  ];
}

function othersOf(type: ReducedDType): Case[] {
  const reduced = roundedCase(type);
  const shape = [4, 16, 3, 3];
  const pool = { kernel: 3, stride: 2, padding: 1 };
  return [
    ...Object.entries(casts[type]).map(([name, x]) =>
      reduced('cast', `and back: ${name}`, { x: values(x) }, (y) => y!, { roundings: 0 }),
    ),
    ...pairs.map(([name, op]) =>
      reduced(name, `[${shape.join(', ')}]`, { a: normal(shape), b: normal(shape) }, (a, b) => op(a!, b!)),
    ),
    ...units.map(([name, op]) => reduced(name, `[${shape.join(', ')}]`, { x: normal(shape) }, (x) => op(x!))),
    makeCase(
      'batchNorm',
      `${type} [8, 16, 3, 3], statistics in float32`,
      { x: normal([8, 16, 3, 3], 5, 2), gamma: normal([16], 1, 0.3), beta: normal([16]) },
      ({ x, gamma, beta }) => cast(batchNorm(cast(x!, type), gamma!, beta!, 1e-5)[0], 'float32'),
      { reduced: type, rough: true },
    ),
    // In its gradient up to four windows add to an element.
    reduced('maxPool2d', '[2, 4, 8, 8]', { x: normal([2, 4, 8, 8]) }, (x) => maxPool2d(x!, pool), {
      roundings: 4,
    }),
  ];
}

export const reducedCases: readonly Case[] = (['bfloat16', 'float16'] as const).flatMap((type) => [
  ...productsOf(type),
  ...othersOf(type),
]);
