import { expect, it } from 'vitest';
import { step } from './move.ts';

// A cross around the point 0, and one point far to the right and a little up.
const cross = [0.5, 0.5, 0.6, 0.5, 0.4, 0.5, 0.5, 0.6, 0.5, 0.4, 0.9, 0.45];

it.each([
  ['right', [1, 0], 1],
  ['left', [-1, 0], 2],
  ['down', [0, 1], 3],
  ['up', [0, -1], 4],
] as const)('goes %s', (_, direction, to) => {
  expect(step(cross, 0, direction)).toBe(to);
});
it('goes on to what is far, and stays where there is nothing', () => {
  expect(step(cross, 1, [1, 0])).toBe(5);
  expect(step(cross, 5, [1, 0])).toBe(5);
  expect(step([0.5, 0.5], 0, [0, 1])).toBe(0);
});
it('reaches every point of a grid', () => {
  const grid = Array.from({ length: 50 }, (_, i) =>
    i % 2 === 0 ? ((i / 2) % 5) / 5 : Math.floor(i / 10) / 5,
  );
  const seen = new Set([12]);
  for (const from of seen)
    for (const direction of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ] as const)
      seen.add(step(grid, from, direction));
  expect(seen.size).toBe(25);
});
