import { expect, it } from 'vitest';
import { bundled } from './curve.ts';

it('draws each step, and means where there are too many', () => {
  expect(bundled([])).toEqual([]);
  expect(bundled([3, 1])).toEqual([
    { step: 1, loss: 3 },
    { step: 2, loss: 1 },
  ]);
  const many = bundled(
    Array.from({ length: 1005 }, (_, i) => i),
    100,
  );
  expect(many.length).toBeLessThanOrEqual(100);
  expect(many[0]).toEqual({ step: 11, loss: 5 });
  expect(many.at(-1)).toEqual({ step: 1005, loss: 1002.5 });
});
