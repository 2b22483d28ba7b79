import {
  batchNorm,
  batchNormGrad,
  batchNormInference,
  relu,
  reshape,
  type Shape,
  tensor,
} from '@moco-ts/core';
import { all, awayFromZero, type Case, type Draw, makeCase, normal, uniform, values } from './case.ts';

const epsilon = 1e-5;

const shapes: readonly Shape[] = [
  [4, 1],
  [8, 5],
  [16, 16],
  [3, 4, 5],
  [2, 3, 4, 4],
  [16, 16, 2, 2],
  [8, 16, 1, 1],
  [4, 48, 3, 3],
  [6, 20, 5, 2],
];

/** Statistics that are hard on a formula: a mean far from 0, a tiny variance, none at all. */
const hard: readonly (readonly [name: string, c: number, x: Draw])[] = [
  ['mean 20', 16, normal([16, 16, 3, 3], 20, 1)],
  ['mean -50, deviation .5', 5, normal([16, 5, 3, 3], -50, 0.5)],
  ['tiny values', 16, normal([16, 16, 2, 2], 0, 1e-3)],
  ['large values', 16, normal([16, 16, 2, 2], 0, 1e3)],
];

const affine = (c: number) => ({ gamma: awayFromZero([c]), beta: normal([c]) });

export const normCases: readonly Case[] = [
  ...shapes.flatMap((shape) => {
    const c = shape[1]!;
    const name = `[${shape.join(', ')}]`;
    return [
      makeCase(
        'batchNorm',
        name,
        { x: normal(shape), ...affine(c) },
        ({ x, gamma, beta }) => {
          const [y, mean, variance] = batchNorm(x!, gamma!, beta!, epsilon);
          return { y, mean, variance };
        },
        { through: ['y'], slack: 2 },
      ),
      makeCase(
        'batchNormGrad',
        name,
        { dy: normal(shape), x: normal(shape, 0.5), ...affine(c) },
        ({ dy, x, gamma, beta }) => {
          const [, mean, variance] = batchNorm(x!, gamma!, beta!, epsilon);
          const [dx, dGamma, dBeta] = batchNormGrad(dy!, x!, gamma!, mean, variance, epsilon);
          return { dx, dGamma, dBeta };
        },
        { through: [], slack: 2 },
      ),
      makeCase(
        'batchNormInference',
        name,
        { x: normal(shape), ...affine(c), mean: normal([c]), variance: uniform([c], 0.2, 3) },
        (inputs) =>
          batchNormInference(inputs.x!, inputs.gamma!, inputs.beta!, inputs.mean!, inputs.variance!, epsilon),
      ),
    ];
  }),
  ...hard.map(([name, c, x]) =>
    makeCase(
      'batchNorm',
      name,
      { x, ...affine(c) },
      (inputs) => {
        const [y, mean, variance] = batchNorm(inputs.x!, inputs.gamma!, inputs.beta!, epsilon);
        return { y, mean, variance };
      },
      { through: ['y'], slack: 5 },
    ),
  ),
  // No variance: y is beta, and rounding in x - mean is divided by sqrt(epsilon).
  makeCase(
    'batchNorm',
    'a constant channel',
    { x: all([4, 16, 2, 2], 0.75), ...affine(16) },
    ({ x, gamma, beta }) => batchNorm(x!, gamma!, beta!, epsilon)[0],
    { scale: 30 },
  ),
  makeCase(
    'batchNorm',
    'gamma 0',
    { x: normal([4, 3, 2, 2]), gamma: values([0, 1, 0]), beta: normal([3]) },
    ({ x, gamma, beta }) => batchNorm(x!, gamma!, beta!, epsilon)[0],
    { slack: 2 },
  ),
  // Two normalisations of one value by one pair of parameters.
  makeCase(
    'batchNorm',
    'twice by the same parameters',
    { x: normal([8, 16, 2, 2]), z: normal([8, 16, 2, 2]), ...affine(16) },
    ({ x, z, gamma, beta }) => ({
      a: batchNorm(x!, gamma!, beta!, epsilon)[0],
      b: batchNorm(z!, gamma!, beta!, epsilon)[0],
    }),
    { slack: 2 },
  ),
  makeCase(
    'batchNormInference',
    'in groups of a batch',
    { x: normal([16, 16, 3, 3]), ...affine(32), mean: normal([32]), variance: uniform([32], 0.2, 3) },
    ({ x, gamma, beta, mean, variance }) => {
      const grouped = reshape(relu(x!), [8, 32, 3, 3]);
      const normal = batchNormInference(grouped, gamma!, beta!, mean!, variance!, epsilon);
      return relu(reshape(normal, [16, 16, 3, 3]));
    },
  ),
  makeCase(
    'batchNormInference',
    'variance 0',
    {
      x: normal([2, 2, 2, 2]),
      gamma: values([1, -1]),
      beta: values([0, 1]),
      mean: values([0, 0]),
      variance: tensor([0, 1], [2]),
    },
    (inputs) =>
      batchNormInference(inputs.x!, inputs.gamma!, inputs.beta!, inputs.mean!, inputs.variance!, epsilon),
    { rough: true },
  ),
];
