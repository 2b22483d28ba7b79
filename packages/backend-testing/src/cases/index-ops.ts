import { gather, type Shape, scatterAdd, tensor, updateSlice } from '@moco-ts/core';
import { type Case, integers, makeCase, normal, permutation, values } from './case.ts';

const scalarInt = (value: number) => tensor([value], [], 'int32');

/** A ring buffer's writes: from the start, across the end, of the whole, and of one element. */
const writes: readonly (readonly [target: Shape, update: Shape, start: number, axis: number])[] = [
  [[6], [2], 0, 0],
  [[6], [2], 4, 0],
  [[6], [3], 5, 0],
  [[6], [6], 2, 0],
  [[1], [1], 0, 0],
  [[4, 3], [2, 3], 3, 0],
  [[3, 8], [3, 4], 4, 1],
  [[3, 8], [3, 4], 6, 1],
  [[2, 3, 4], [2, 3, 1], 3, 2],
];

export const indexCases: readonly Case[] = [
  makeCase(
    'gather',
    'rows, some twice',
    { x: normal([4, 3]), i: values([3, 0, 0, 2, 3], 'int32') },
    ({ x, i }) => gather(x!, i!),
  ),
  makeCase('gather', 'a vector', { x: normal([5]), i: values([4, 1], 'int32') }, ({ x, i }) =>
    gather(x!, i!),
  ),
  makeCase('gather', 'one row', { x: normal([1, 2]), i: values([0], 'int32') }, ({ x, i }) => gather(x!, i!)),
  makeCase('gather', 'maps in another order', { x: normal([16, 16, 2, 2]), i: permutation(16) }, ({ x, i }) =>
    gather(x!, i!),
  ),
  makeCase('gather', 'images', { x: normal([6, 3, 4, 4]), i: permutation(6) }, ({ x, i }) => gather(x!, i!)),
  makeCase('gather', 'int32', { x: integers([4, 2], -9, 9), i: values([1, 1, 3], 'int32') }, ({ x, i }) =>
    gather(x!, i!),
  ),

  makeCase(
    'scatterAdd',
    'rows meet',
    { x: normal([5, 3]), i: values([1, 3, 1, 1, 0], 'int32') },
    ({ x, i }) => scatterAdd(x!, i!, 5),
  ),
  makeCase('scatterAdd', 'a vector', { x: normal([2]), i: values([2, 0], 'int32') }, ({ x, i }) =>
    scatterAdd(x!, i!, 4),
  ),
  makeCase('scatterAdd', 'undoes gather', { x: normal([16, 8]), i: permutation(16) }, ({ x, i }) => ({
    y: scatterAdd(gather(x!, i!), i!, 16),
    z: scatterAdd(x!, i!, 16),
  })),
  makeCase('scatterAdd', 'maps', { x: normal([3, 16, 2, 2]), i: values([0, 0, 1], 'int32') }, ({ x, i }) =>
    scatterAdd(x!, i!, 2),
  ),

  ...writes.map(([target, update, start, axis]) =>
    makeCase(
      'updateSlice',
      `[${update.join(', ')}] into [${target.join(', ')}] at ${start}`,
      { x: normal(target), update: normal(update), start: scalarInt(start) },
      (inputs) => updateSlice(inputs.x!, inputs.update!, inputs.start!, axis),
      { through: [] },
    ),
  ),
  makeCase(
    'updateSlice',
    'int32',
    { x: integers([5], 0, 9), update: integers([2], 10, 19), start: scalarInt(4) },
    (inputs) => updateSlice(inputs.x!, inputs.update!, inputs.start!, 0),
  ),
];
