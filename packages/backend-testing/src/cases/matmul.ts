import { matmul, type Shape } from '@moco-ts/core';
import { type Case, makeCase, normal } from './case.ts';

/** Leading axes, then m, k, n. */
const extents: readonly (readonly [lead: Shape, m: number, k: number, n: number])[] = [
  [[], 1, 1, 1],
  [[], 2, 3, 4],
  [[], 1, 5, 3],
  [[], 16, 32, 16],
  [[3], 2, 3, 4],
  [[1], 2, 3, 1],
  [[2, 3], 2, 1, 3],
];
const flags = [false, true];

function flipped(shape: Shape, flip: boolean): Shape {
  return flip ? [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!] : shape;
}

export const matmulCases: readonly Case[] = [
  ...extents.flatMap(([lead, m, k, n]) =>
    flags.flatMap((transposeA) =>
      flags.map((transposeB) => {
        const a = flipped([...lead, m, k], transposeA);
        const b = flipped([...lead, k, n], transposeB);
        const name = `[${a.join(', ')}]${transposeA ? "'" : ''} [${b.join(', ')}]${transposeB ? "'" : ''}`;
        return makeCase('matmul', name, { a: normal(a), b: normal(b) }, (inputs) =>
          matmul(inputs.a!, inputs.b!, { transposeA, transposeB }),
        );
      }),
    ),
  ),
  makeCase('matmul', 'by itself, transposed', { x: normal([4, 3]) }, ({ x }) =>
    matmul(x!, x!, { transposeB: true }),
  ),
  makeCase('matmul', 'a long inner axis', { a: normal([2, 2000]), b: normal([2000, 3]) }, ({ a, b }) =>
    matmul(a!, b!),
  ),
];
