/** What a time buys: arithmetic alone, of seconds that others measured. */
import { SettingError, say, settingRef } from '@moco-ts/core';
import { AT_END, durationText } from '@moco-ts/run';

/** In seconds. */
export interface Budget {
  /** From the start of the command to its end. */
  readonly time: number;
  /** Gone before training. */
  readonly spent: number;
  /** Kept for what follows training. */
  readonly reserve: number;
}

/** Fewer steps move no encoder away from where it began. */
export const LEAST_STEPS = 100;

export const trainingSeconds = ({ time, spent, reserve }: Budget): number => time - spent - reserve;

/** Rounded up to what people say: tens of seconds, then minutes. */
const roundedUp = (seconds: number): number => {
  const unit = seconds <= 120 ? 10 : 60;
  return unit * Math.ceil(seconds / unit);
};

/**
 * @param secondsPerStep of the quickest recipe
 * @throws SettingError with the least time that works
 */
export function expectEnough(budget: Budget, secondsPerStep: number): void {
  const { time, spent, reserve } = budget;
  const needed = LEAST_STEPS * secondsPerStep;
  if (trainingSeconds(budget) >= needed) return;
  // A second try may find the machine busier.
  const least = durationText(roundedUp(1.1 * (spent + reserve + needed)));
  throw new SettingError(
    say`${durationText(time)} is too short here: give at least ${settingRef('time', least)}, for ${LEAST_STEPS} steps with what comes before and after them`,
    { value: time },
  );
}

/**
 * Seconds from one step to the next with views that are made beside it.
 * @param step seconds of a step alone, on all cores
 * @param views seconds of making a batch's views, by all workers side by side
 * @param shared whether the step computes on the cores that make the views
 */
export function stepWithViews(
  step: number,
  views: number,
  shared: { readonly workers: number; readonly cores: number } | undefined,
): number {
  const work = shared ? step + (views * Math.min(shared.workers, shared.cores)) / shared.cores : 0;
  return Math.max(step, views, work);
}

/** Of the time for training: what measuring to choose a checkpoint may take, and how often is enough. */
const [FOR_MEASURES, LEAST_SHARE] = [0.1, 0.1];

/**
 * The share of a run between two evaluations, or `AT_END` where there is time for no other.
 * @param measure seconds of one
 * @param training seconds of all steps
 */
export function shareOfMeasures(measure: number, training: number): number {
  const share = measure / (FOR_MEASURES * training);
  return share < 1 ? Math.max(LEAST_SHARE, share) : AT_END;
}
