import { barrier, conv2d, mul, relu, type Shape, tanh } from '@moco-ts/core';
import { bools, type Case, type Draw, integers, makeCase, normal, values } from './case.ts';

const inputs: readonly (readonly [name: string, x: Draw, after: Draw])[] = [
  ['a matrix after a vector', normal([3, 4]), normal([5])],
  ['a number after a map', normal([]), normal([2, 16, 3, 3])],
  ['a map after a number', normal([2, 16, 3, 3]), normal([])],
  ['a row of tokens after one of its shape', normal([2, 5, 8]), normal([2, 5, 8])],
  ['int32 after bool', integers([6], -9, 9), bools([2])],
  ['bool after int32', bools([3, 2]), integers([1], 0, 5)],
];

/** A block, and what a backward pass would compute again of it once its gradient is there. */
function again(c: number, shape: Shape): Case {
  return makeCase(
    'barrier',
    `a convolution of ${c} channels again`,
    { x: normal(shape), w: normal([c, c, 3, 3], 0, 0.1) },
    ({ x, w }) => {
      const block = (from: typeof x) => relu(conv2d(from!, w!, { padding: 1 }));
      const y = conv2d(block(x), w!, { padding: 1 });
      return { y: mul(tanh(y), block(barrier(x!, y))) };
    },
    { slack: 10 },
  );
}

export const barrierCases: readonly Case[] = [
  ...inputs.map(([name, x, after]) =>
    makeCase('barrier', name, { x, after }, (given) => barrier(given.x!, given.after!)),
  ),
  makeCase(
    'barrier',
    'what is infinite, undefined or a negative 0, after the same',
    { x: values([-0, Infinity, -Infinity, NaN, 1e-40, 3]), after: values([NaN, -Infinity]) },
    ({ x, after }) => barrier(x!, after!),
    { through: [] },
  ),
  again(16, [16, 16, 4, 4]),
  again(5, [4, 5, 4, 4]),
];
