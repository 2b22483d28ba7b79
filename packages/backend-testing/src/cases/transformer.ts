import {
  add,
  gelu,
  geluGrad,
  layerNorm,
  layerNormGrad,
  matmul,
  mul,
  nn,
  type Shape,
  softmax,
  softmaxMatmul,
  split,
  type Traced,
  type TracedParams,
  tensor,
} from '@moco-ts/core';
import { all, awayFromZero, type Case, type Draw, integers, makeCase, normal, values } from './case.ts';

const epsilon = 1e-6;
const title = (shape: Shape) => `[${shape.join(', ')}]`;

const rows: readonly Shape[] = [
  [7],
  [1, 5],
  [4, 2],
  [6, 16],
  [2, 3, 48],
  [2, 2, 3, 5],
  [16, 16, 2, 2],
  [3, 1, 200],
];

/** Rows that are hard on a formula: a mean far from 0, tiny or large deviations. */
const hard: readonly (readonly [name: string, d: number, x: Draw])[] = [
  ['mean 20', 48, normal([6, 48], 20, 1)],
  ['mean -50, deviation .5', 37, normal([6, 37], -50, 0.5)],
  ['tiny values', 48, normal([6, 48], 0, 1e-2)],
  ['large values', 48, normal([6, 48], 0, 1e3)],
];

const affine = (d: number) => ({ gamma: awayFromZero([d]), beta: normal([d]) });

function normalized({ x, gamma, beta }: TracedParams): Record<string, Traced> {
  const [y, mean, inverse] = layerNorm(x!, gamma!, beta!, epsilon);
  return { y, mean, inverse };
}

const layerNormCases: readonly Case[] = [
  ...rows.flatMap((shape) => {
    const d = shape.at(-1)!;
    // Two elements become -1 and 1 whatever they are: the gradient is a difference that is nearly 0.
    const options = d === 2 ? { slack: 2, scale: 1 } : { slack: 2 };
    return [
      makeCase('layerNorm', title(shape), { x: normal(shape), ...affine(d) }, normalized, {
        ...options,
        through: ['y'],
      }),
      makeCase(
        'layerNormGrad',
        title(shape),
        { dy: normal(shape), x: normal(shape, 0.5), ...affine(d) },
        ({ dy, x, gamma, beta }) => {
          const [, mean, inverse] = layerNorm(x!, gamma!, beta!, epsilon);
          const [dx, dGamma, dBeta] = layerNormGrad(dy!, x!, gamma!, mean, inverse);
          return { dx, dGamma, dBeta };
        },
        { ...options, through: [] },
      ),
    ];
  }),
  ...hard.map(([name, d, x]) =>
    makeCase('layerNorm', name, { x, ...affine(d) }, normalized, { through: ['y'], slack: 5 }),
  ),
  // No variance: y is beta, and rounding in x - mean is divided by sqrt(epsilon).
  makeCase(
    'layerNorm',
    'constant rows',
    { x: all([3, 16], 0.75), ...affine(16) },
    (given) => layerNorm(given.x!, given.gamma!, given.beta!, epsilon)[0],
    { scale: 100, rough: true },
  ),
  // One element is its own mean: y is beta, whatever x is.
  makeCase(
    'layerNorm',
    'rows of one element',
    { x: normal([4, 1]), ...affine(1) },
    (given) => layerNorm(given.x!, given.gamma!, given.beta!, epsilon)[0],
  ),
  makeCase(
    'layerNorm',
    'gamma 0',
    { x: normal([4, 3]), gamma: values([0, 1, 0]), beta: normal([3]) },
    (given) => layerNorm(given.x!, given.gamma!, given.beta!, epsilon)[0],
    { slack: 2 },
  ),
  makeCase(
    'layerNorm',
    'twice by the same parameters',
    { x: normal([3, 16]), z: normal([2, 2, 16]), ...affine(16) },
    ({ x, z, gamma, beta }) => ({
      a: layerNorm(x!, gamma!, beta!, epsilon)[0],
      b: layerNorm(z!, gamma!, beta!, epsilon)[0],
    }),
    { slack: 2 },
  ),
];

const shapes: readonly Shape[] = [[1], [7], [2, 3], [16, 16, 2, 2], [3, 5, 1, 3], [2, 5, 512]];
const extremes = values([-1e20, -40, -9, -5, -1, -1e-3, 0, 1e-3, 1, 5, 9, 40, 1e4]);

const activationCases: readonly Case[] = [
  ...[[], ...shapes].flatMap((shape: Shape) => [
    makeCase('gelu', title(shape), { x: normal(shape, 0, 2) }, ({ x }) => gelu(x!)),
    makeCase('geluGrad', title(shape), { dy: normal(shape), x: normal(shape, 0, 2) }, ({ dy, x }) =>
      geluGrad(dy!, x!),
    ),
  ]),
  makeCase('gelu', 'small values', { x: normal([64], 0, 1e-4) }, ({ x }) => gelu(x!)),
  makeCase('gelu', 'negative values', { x: values([-6, -5, -4, -3, -2]) }, ({ x }) => gelu(x!)),
  makeCase('geluGrad', 'extremes', { x: extremes, dy: all([13], 1) }, ({ dy, x }) => geluGrad(dy!, x!)),
  ...shapes.map((shape) => makeCase('softmax', title(shape), { x: normal(shape) }, ({ x }) => softmax(x!))),
  makeCase('softmax', 'large logits', { x: normal([4, 9], 0, 300) }, ({ x }) => softmax(x!), { scale: 1 }),
  makeCase('softmax', 'equal logits', { x: all([2, 5], -1e4) }, ({ x }) => softmax(x!)),
  makeCase('softmax', 'a long row', { x: normal([2, 3000]) }, ({ x }) => softmax(x!)),
  makeCase('softmax', 'one logit far above', { x: tensor([0, 200, 0, 1], [1, 4]) }, ({ x }) => softmax(x!), {
    scale: 1,
  }),
];

/** Leading axes, rows, scores in a row, values in a row. */
const mixtures: readonly (readonly [lead: Shape, t: number, s: number, d: number])[] = [
  [[], 1, 1, 1],
  [[], 3, 1, 4],
  [[], 2, 5, 1],
  [[3], 4, 4, 2],
  [[2, 3], 5, 7, 4],
  [[1, 16], 16, 16, 16],
];

const mixtureCases: readonly Case[] = [
  ...mixtures.map(([lead, t, s, d]) =>
    makeCase(
      'softmaxMatmul',
      `${title([...lead, t, s])} ${title([...lead, s, d])}`,
      { scores: normal([...lead, t, s]), v: normal([...lead, s, d]) },
      ({ scores, v }) => {
        const [y, weights] = softmaxMatmul(scores!, v!);
        return { y, weights };
      },
      // Of a single score the weight is 1 and its gradient 0, as a difference of numbers near 1.
      s === 1 ? { through: ['y'], scale: 1 } : { through: ['y'] },
    ),
  ),
  makeCase(
    'softmaxMatmul',
    'sharp scores',
    { scores: normal([2, 2, 5, 6], 0, 30), v: normal([2, 2, 6, 4]) },
    ({ scores, v }) => softmaxMatmul(scores!, v!)[0],
    { scale: 1 },
  ),
];

const parts: readonly (readonly [shape: Shape, axis: number, sizes: readonly number[]])[] = [
  [[4], 0, [4]],
  [[5], 0, [1, 4]],
  [[2, 3, 6], -1, [2, 2, 2]],
  [[2, 3, 6], 1, [2, 1]],
  [[6, 4], 0, [1, 2, 3]],
  [[2, 32, 3, 3], 1, [16, 16]],
];

function named(values: readonly Traced[]): Record<string, Traced> {
  return Object.fromEntries(values.map((value, i) => [`y${i}`, value]));
}

const splitCases: readonly Case[] = [
  ...parts.map(([shape, axis, sizes]) =>
    makeCase('split', `${title(shape)} along ${axis} by ${sizes.join(', ')}`, { x: normal(shape) }, ({ x }) =>
      named(split(x!, axis, sizes)),
    ),
  ),
  makeCase('split', 'of which one part is used', { x: normal([3, 6]) }, ({ x }) => {
    const [a, , c] = split(x!, 1, [2, 2, 2]) as [Traced, Traced, Traced];
    return mul(a, c);
  }),
  makeCase('split', 'integers', { x: integers([2, 4], -9, 9) }, ({ x }) => named(split(x!, 1, [1, 3]))),
];

/** A pre-norm block as in a vision transformer. */
function block(batch: number, tokens: number, dim: number, heads: number): Case {
  const hidden = 2 * dim;
  const weight = (o: number, i: number) => normal([o, i], 0, 1 / Math.sqrt(i));
  const inputs = {
    x: normal([batch, tokens, dim]),
    'norm.weight': awayFromZero([dim], 0.5, 1.5),
    'norm.bias': normal([dim], 0, 0.3),
    'attn.qkv.weight': weight(3 * dim, dim),
    'attn.qkv.bias': normal([3 * dim], 0, 0.3),
    'attn.proj.weight': weight(dim, dim),
    'attn.proj.bias': normal([dim], 0, 0.3),
    'fc1.weight': weight(hidden, dim),
    'fc1.bias': normal([hidden], 0, 0.3),
    'fc2.weight': weight(dim, hidden),
    'fc2.bias': normal([dim], 0, 0.3),
  };
  return makeCase(
    'chain',
    `transformer block, [${batch}, ${tokens}, ${dim}] by ${heads} heads`,
    inputs,
    (given) => {
      const inner = nn.layerNorm(given, 'norm', given.x!, epsilon);
      const x = add(given.x!, nn.attention(given, 'attn', inner, heads));
      return add(x, nn.linear(given, 'fc2', gelu(nn.linear(given, 'fc1', x))));
    },
    { slack: 10 },
  );
}

export const transformerCases: readonly Case[] = [
  ...layerNormCases,
  ...activationCases,
  ...mixtureCases,
  ...splitCases,
  makeCase(
    'chain',
    'attention that is sharp',
    { q: normal([2, 2, 5, 4], 0, 6), k: normal([2, 2, 5, 4], 0, 6), v: normal([2, 2, 5, 4]) },
    ({ q, k, v }) => matmul(softmax(matmul(q!, k!, { transposeB: true })), v!),
    { slack: 20 },
  ),
  block(2, 5, 12, 3),
  block(1, 17, 16, 1),
  block(16, 4, 32, 2),
];
