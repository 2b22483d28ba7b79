import { max, mean, type Shape, sum, tensor } from '@moco-ts/core';
import { type Case, makeCase, normal, uniform, values } from './case.ts';

const reductions = { sum, mean, max };

/** Shapes with the axes to reduce; undefined: all of them. */
const variants: readonly [shape: Shape, axes: readonly number[] | undefined][] = [
  [[], undefined],
  [[1], undefined],
  [[5], undefined],
  [[5], [0]],
  [[2, 3, 4], undefined],
  [[2, 3, 4], [0]],
  [[2, 3, 4], [1]],
  [[2, 3, 4], [-1]],
  [
    [2, 3, 4],
    [0, 2],
  ],
  [[2, 3, 4], []],
  [[3, 1, 2], [1]],
  [
    [3, 16, 4, 4],
    [2, 3],
  ],
  [
    [3, 5, 3, 2],
    [2, 3],
  ],
  [
    [3, 16, 2, 2],
    [0, 2, 3],
  ],
  [
    [16, 16, 1, 1],
    [2, 3],
  ],
  [[64, 3], [0]],
];

export const reduceCases: readonly Case[] = [
  ...Object.entries(reductions).flatMap(([name, op]) => [
    ...variants.flatMap(([shape, axes]) =>
      [false, true].map((keepDims) =>
        makeCase(
          name,
          `[${shape.join(', ')}] over ${axes ? `[${axes.join(', ')}]` : 'all'}${keepDims ? ', kept' : ''}`,
          { x: normal(shape) },
          ({ x }) => op(x!, axes, keepDims),
        ),
      ),
    ),
    makeCase(name, 'negative values', { x: uniform([3, 16, 3, 3], -9, -1) }, ({ x }) => op(x!, [2, 3])),
    makeCase(name, 'a long axis', { x: normal([2, 5000]) }, ({ x }) => op(x!, [1]), { scale: 1 }),
  ]),
  makeCase('max', 'ties', { x: tensor([1, 3, 3, 0, 0, 0, -1, -2, -1], [3, 3]) }, ({ x }) => max(x!, [1]), {
    rough: true,
  }),
  makeCase('max', 'ties over all', { x: values([2, 2, 1, 2]) }, ({ x }) => max(x!), { rough: true }),
  makeCase('sum', 'cancellation', { x: values([1e4, 1, -1e4, 1]) }, ({ x }) => sum(x!), { scale: 1e4 }),
];
