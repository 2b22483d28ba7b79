import { expect, it } from 'vitest';
import { allFinite, firstNotFinite } from './tensor.ts';

it.each([
  ['of finite values has none', [1, 2, 3, 4, 5, 6], undefined],
  ['begins with one', [Number.NaN, 2, 3, 4, 5, 6], 0],
  ['has two, of which the first is told', [1, 2, 3, Number.POSITIVE_INFINITY, Number.NaN, 6], 1],
  ['has one at its end', [1, 2, 3, 4, 5, Number.NEGATIVE_INFINITY], 2],
  ['of values that overflow when squared has none', [3.4e38, -3.4e38, 0, 0, 0, 0], undefined],
  ['of no rows has none', [], undefined],
])('a matrix %s', (_, values, row) => {
  const rows = Float32Array.from(values);
  expect(firstNotFinite(rows, 2)).toBe(row);
  expect(allFinite(rows)).toBe(row === undefined);
});
