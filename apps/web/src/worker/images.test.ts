import { expect, it } from 'vitest';
import { drawn } from './images.ts';

it('draws from all of a list, in its order, by the seed', () => {
  const classes = Array.from({ length: 3000 }, (_, i) => Math.floor(i / 100));
  const list = classes.map((label, i) => ({ label, i }));
  const taken = drawn(list, 2000, 0);
  expect(new Set(taken).size).toBe(2000);
  expect(taken.every(({ i }, at) => at === 0 || i > taken[at - 1]!.i)).toBe(true);
  // Two thirds of each class, give or take six standard deviations.
  for (let label = 0; label < 30; label++) {
    const count = taken.filter((one) => one.label === label).length;
    expect(Math.abs(count - 66.7)).toBeLessThan(6 * Math.sqrt((100 * 2) / 9));
  }
  expect(drawn(list, 2000, 0)).toEqual(taken);
  expect(drawn(list, 2000, 1)).not.toEqual(taken);
});
it('takes all where there are few', () => {
  expect(drawn([3, 1, 2], 3, 0)).toEqual([3, 1, 2]);
});
