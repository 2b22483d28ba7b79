import {
  broadcastTo,
  concat,
  type HostDType,
  mul,
  pad,
  reshape,
  type Shape,
  slice,
  tensor,
  transpose,
} from '@moco-ts/core';
import { bools, type Case, type Draw, integers, makeCase, normal } from './case.ts';

const title = (...shapes: readonly Shape[]) => shapes.map((shape) => `[${shape.join(', ')}]`).join(' to ');
const draws: readonly [HostDType, (shape: Shape) => Draw][] = [
  ['float32', normal],
  ['int32', (shape) => integers(shape, -9, 9)],
  ['bool', bools],
];

const reshapes: readonly (readonly [Shape, Shape])[] = [
  [[], [1]],
  [[1, 1], []],
  [[6], [2, 3]],
  [
    [2, 3, 4],
    [4, 6],
  ],
  [
    [4, 16, 2, 2],
    [2, 32, 2, 2],
  ],
  [
    [4, 5, 2, 2],
    [2, 10, 2, 2],
  ],
  [
    [2, 16, 2, 2],
    [2, 64],
  ],
  [
    [2, 64],
    [2, 16, 2, 2],
  ],
  [
    [2, 16, 4, 4],
    [2, 16, 16, 1],
  ],
];
const permutations: readonly (readonly [Shape, readonly number[]])[] = [
  [[3], [0]],
  [
    [2, 3],
    [1, 0],
  ],
  [
    [2, 3],
    [0, 1],
  ],
  [
    [2, 3, 4],
    [2, 0, 1],
  ],
  [
    [2, 3, 4],
    [1, 2, 0],
  ],
  [
    [2, 3, 4, 5],
    [0, 2, 3, 1],
  ],
  [
    [2, 3, 4, 5],
    [1, 0, 2, 3],
  ],
  [
    [2, 3, 4, 5],
    [3, 2, 1, 0],
  ],
  [
    [16, 16, 2, 3],
    [0, 1, 3, 2],
  ],
  [
    [16, 32, 1, 1],
    [1, 0, 2, 3],
  ],
];
const broadcasts: readonly (readonly [Shape, Shape])[] = [
  [[], [1]],
  [[], [2, 3]],
  [[3], [1, 3]],
  [[3], [2, 3]],
  [
    [2, 1],
    [2, 3],
  ],
  [
    [1, 16, 1, 1],
    [2, 16, 3, 3],
  ],
  [
    [2, 16, 1, 1],
    [2, 16, 4, 4],
  ],
  [
    [2, 1, 3],
    [4, 2, 5, 3],
  ],
];
const slices: readonly (readonly [Shape, starts: readonly number[], sizes: readonly number[]])[] = [
  [[5], [0], [5]],
  [[5], [4], [1]],
  [
    [3, 4],
    [1, 1],
    [2, 2],
  ],
  [
    [4, 16, 4, 4],
    [0, 0, 1, 1],
    [4, 16, 2, 3],
  ],
  [
    [4, 32, 2, 2],
    [0, 16, 0, 0],
    [4, 16, 2, 2],
  ],
  [
    [4, 32, 2, 2],
    [0, 5, 0, 0],
    [4, 7, 2, 2],
  ],
  [
    [4, 16, 2, 2],
    [1, 0, 0, 0],
    [2, 16, 2, 2],
  ],
];
const pads: readonly (readonly [Shape, before: readonly number[], after: readonly number[]])[] = [
  [[3], [0], [0]],
  [[3], [2], [1]],
  [
    [2, 3],
    [0, 1],
    [3, 0],
  ],
  [
    [2, 16, 2, 2],
    [0, 0, 1, 1],
    [0, 0, 1, 2],
  ],
  [
    [2, 5, 2, 2],
    [1, 3, 0, 1],
    [0, 8, 0, 0],
  ],
];
const joins: readonly (readonly [axis: number, ...shapes: Shape[]])[] = [
  [0, [3]],
  [0, [1], [3], [2]],
  [1, [2, 1], [2, 4]],
  [-1, [2, 3], [2, 3]],
  [1, [2, 16, 2, 2], [2, 16, 2, 2]],
  [1, [2, 5, 2, 2], [2, 3, 2, 2]],
  [0, [2, 16, 2, 2], [3, 16, 2, 2]],
  [3, [2, 16, 2, 1], [2, 16, 2, 2]],
];

const constants: readonly Case[] = [
  makeCase('constant', 'each dtype', { x: normal([1]) }, ({ x }, builder) => ({
    x: mul(x!, builder.constant(2)),
    float32: builder.constant(tensor([-1.5, 0, 2], [3])),
    int32: builder.constant(tensor([-7, 7], [2, 1], 'int32')),
    uint8: builder.constant(tensor([0, 255], [2], 'uint8')),
    bool: builder.constant(tensor([1, 0], [2], 'bool')),
    scalar: builder.constant(0.1),
  })),
];

export const shapeCases: readonly Case[] = [
  ...constants,
  ...reshapes.map(([from, to]) =>
    makeCase('reshape', title(from, to), { x: normal(from) }, ({ x }) => reshape(x!, to)),
  ),
  ...permutations.map(([shape, order]) =>
    makeCase('transpose', `${title(shape)} by ${order.join('')}`, { x: normal(shape) }, ({ x }) =>
      transpose(x!, order),
    ),
  ),
  ...broadcasts.map(([from, to]) =>
    makeCase('broadcastTo', title(from, to), { x: normal(from) }, ({ x }) => broadcastTo(x!, to)),
  ),
  ...slices.map(([shape, starts, sizes]) =>
    makeCase('slice', `${title(shape)} at ${starts.join(' ')}`, { x: normal(shape) }, ({ x }) =>
      slice(x!, starts, sizes),
    ),
  ),
  ...pads.map(([shape, before, after]) =>
    makeCase(
      'pad',
      `${title(shape)} by ${before.join(' ')}, ${after.join(' ')}`,
      { x: normal(shape) },
      ({ x }) => pad(x!, before, after),
    ),
  ),
  ...joins.map(([axis, ...shapes]) => {
    const inputs = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, normal(shape)]));
    const name = `${shapes.map((shape) => title(shape)).join(' ')} along ${axis}`;
    return makeCase('concat', name, inputs, (traced) => concat(Object.values(traced), axis));
  }),
  makeCase('concat', 'one operand twice', { x: normal([2, 16, 2, 2]) }, ({ x }) => concat([x!, x!], 1)),
  ...draws
    .slice(1)
    .flatMap(([dtype, draw]) => [
      makeCase('reshape', dtype, { x: draw([2, 3]) }, ({ x }) => reshape(x!, [6])),
      makeCase('transpose', dtype, { x: draw([2, 3]) }, ({ x }) => transpose(x!)),
      makeCase('broadcastTo', dtype, { x: draw([2, 1]) }, ({ x }) => broadcastTo(x!, [2, 3])),
      makeCase('slice', dtype, { x: draw([5]) }, ({ x }) => slice(x!, [1], [3])),
      makeCase('concat', dtype, { x: draw([2]), y: draw([3]) }, ({ x, y }) => concat([x!, y!], 0)),
    ]),
  makeCase('pad', 'int32', { x: integers([3], 1, 9) }, ({ x }) => pad(x!, [1], [2])),
];
