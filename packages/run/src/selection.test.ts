import { describe, expect, it } from 'vitest';
import { choose, isDue } from './selection.ts';

const at = (value: number, epoch: number) => ({ epoch, step: 0, globalStep: 10 * epoch, value });
const run = (...values: number[]) => values.map((value, i) => at(value, i + 1));

describe('the best of a run', () => {
  it('has the largest percentage, or the least loss', () => {
    expect(choose('retrieval', run(10, 30, 20))).toEqual({ best: at(30, 2), waited: 1 });
    expect(choose('knn', run(10, 30, 20, 40))).toEqual({ best: at(40, 4), waited: 0 });
    expect(choose('loss', run(3, 1, 2, 4))).toEqual({ best: at(1, 2), waited: 2 });
    expect(choose('loss', [])).toBeUndefined();
  });

  it('is the latest of equals, which are no better than the first', () => {
    expect(choose('retrieval', run(10, 30, 30, 20, 30))).toEqual({ best: at(30, 5), waited: 3 });
  });
});

describe('an evaluation', () => {
  /** The epochs after which one is due in a run of so many. */
  const due = (every: number, epochs: number) => {
    const done = (epoch: number) => ({ epoch, progress: epoch / epochs });
    const all = Array.from({ length: epochs }, (_, i) => i + 1);
    return all.filter((epoch) => isDue(every, done(epoch - 1), done(epoch)));
  };

  it('is due after so many epochs, and after the last', () => {
    expect(due(3, 8)).toEqual([3, 6, 8]);
    expect(due(1, 3)).toEqual([1, 2, 3]);
    expect(due(100, 3)).toEqual([3]);
    expect(due(0, 3)).toEqual([]);
  });

  it('is due after a share of the run, at the end of an epoch', () => {
    expect(due(0.25, 8)).toEqual([2, 4, 6, 8]);
    // After 2.5 epochs, and so on.
    expect(due(0.25, 10)).toEqual([3, 5, 8, 10]);
    expect(due(0.05, 4)).toEqual([1, 2, 3, 4]);
    // In doubles 0.07 of 100 is more than 7.
    expect(due(0.07, 100).slice(0, 3)).toEqual([7, 14, 21]);
  });
});
