import { maxPool2d, maxPool2dGrad, type PoolOptions, type Shape, tensor, trace } from '@moco-ts/core';
import { all, type Case, makeCase, normal, uniform } from './case.ts';

const resnet: PoolOptions = { kernel: 3, stride: 2, padding: 1 };

const settings: readonly (readonly [Shape, PoolOptions])[] = [
  ...[1, 2, 4, 5, 8].map((size) => [[2, 16, size, size], resnet] as const),
  [[3, 5, 4, 7], resnet],
  [[1, 1, 1, 1], { kernel: 1, stride: 1, padding: 0 }],
  [[2, 3, 4, 4], { kernel: 2, stride: 2, padding: 0 }],
  [[2, 16, 5, 5], { kernel: 2, stride: 2, padding: 0 }],
  [[2, 3, 3, 3], { kernel: 2, stride: 1, padding: 1 }],
  [[2, 16, 4, 4], { kernel: 3, stride: 1, padding: 1 }],
  [[2, 2, 5, 5], { kernel: 2, stride: 3, padding: 0 }],
  [[16, 8, 4, 4], { kernel: 4, stride: 4, padding: 0 }],
];

const title = (shape: Shape, { kernel, stride, padding }: PoolOptions) =>
  `[${shape.join(', ')}] k${kernel} s${stride} p${padding}`;

function pooledShape(shape: Shape, options: PoolOptions): Shape {
  const graph = trace((builder) => ({ y: maxPool2d(builder.input('x', shape), options) }));
  return graph.values[graph.outputs[0]!.value]!.shape;
}

export const poolCases: readonly Case[] = [
  ...settings.flatMap(([shape, options]) => [
    makeCase('maxPool2d', title(shape, options), { x: normal(shape) }, ({ x }) => maxPool2d(x!, options)),
    makeCase(
      'maxPool2dGrad',
      title(shape, options),
      { dy: normal(pooledShape(shape, options)), x: normal(shape) },
      ({ dy, x }) => maxPool2dGrad(dy!, x!, maxPool2d(x!, options), options),
      { through: [] },
    ),
  ]),
  // Padding must not win, and its zeros must not take the gradient.
  makeCase('maxPool2d', 'all negative', { x: uniform([2, 16, 4, 4], -9, -1) }, ({ x }) =>
    maxPool2d(x!, resnet),
  ),
  makeCase(
    'maxPool2d',
    'a window of four negatives',
    { x: tensor([-0.5, -0.2, -0.7, -0.9], [1, 1, 2, 2]) },
    ({ x }) => maxPool2d(x!, { kernel: 2, stride: 2, padding: 0 }),
  ),
  // The first of equal elements takes the gradient: after relu whole windows are 0.
  makeCase('maxPool2d', 'all equal', { x: all([2, 16, 5, 5], 0) }, ({ x }) => maxPool2d(x!, resnet), {
    rough: true,
  }),
  makeCase(
    'maxPool2d',
    'some equal',
    { x: tensor([1, 2, 2, 0, 2, 1, 0, 2, -1, -1, 3, 3, -1, -1, 3, 3], [1, 1, 4, 4]) },
    ({ x }) => maxPool2d(x!, resnet),
    { rough: true },
  ),
];
