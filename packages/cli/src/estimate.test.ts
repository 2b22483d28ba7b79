import type { Reporter } from '@moco-ts/node';
import { createMeters, type Progress } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { withEstimate } from './estimate.ts';

/** What is said in the first steps of a run of 200 epochs with 100 steps each, by the seconds of each. */
function said(seconds: readonly number[], maxSteps?: number, progressFrom?: string): string[] {
  const notes: string[] = [];
  const none = () => undefined;
  const inner: Reporter = {
    step: none,
    epoch: none,
    note: (text) => void notes.push(text),
    warn: none,
    close: none,
  };
  const limits = {
    epochs: 200,
    ...(maxSteps !== undefined && { maxSteps }),
    ...(progressFrom !== undefined && { progressFrom }),
  };
  const reporter = withEstimate(inner, limits, 'moco train photos/ is quicker.');
  seconds.forEach((time, i) => {
    const meters = createMeters();
    meters.time.add(time);
    const where = { epoch: 0, epochs: 200, step: i + 1, steps: 100, globalStep: i + 1, done: 0 };
    void reporter.step({ ...where, meters, learningRate: 0.03, rate: 1, etaSeconds: 1 } satisfies Progress);
  });
  return notes;
}

it('says once how long a run takes, by the steps behind the first, and what is quicker than hours', () => {
  // 19,997 steps of 12 s: 2.78 days; of 0.9 s: 5 hours.
  expect(said([90, 11, 13, 50, 50])).toEqual([
    'It will take about 2.8 days: 19997 steps of 12 s, without measuring. moco train photos/ is quicker.',
  ]);
  expect(said([90, 0.8, 1, 1])).toEqual([
    'It will take about 5 hours: 19997 steps of 0.90 s, without measuring.',
  ]);
});

it('counts the steps to --max-steps, and says nothing of a minute, nor before it has seen three', () => {
  expect(said([1, 12, 12], 103)).toEqual([
    'It will take about 20 minutes: 100 steps of 12 s, without measuring.',
  ]);
  expect(said([1, 12, 12], 7)).toEqual([]);
  expect(said([90, 12])).toEqual([]);
  // A repeated run ends with the steps of the first.
  expect(said([90, 11, 13], undefined, 'runs/first')).toEqual([]);
});
