/** Which checkpoint of a run is the best, by what is measured while it trains. */
import type { Position } from './course.ts';
import { longest } from './rule.ts';

/** What chooses a run's best checkpoint. */
export const selectors = ['none', 'retrieval', 'knn', 'loss'] as const;
/** `retrieval`: R@1 of edited copies, which needs no label; `knn`: kNN accuracy; `loss`: the mean loss of an epoch. */
export type Selector = (typeof selectors)[number];
/** One that chooses. */
export type Chooser = Exclude<Selector, 'none'>;

/** A figure of a run, where it was measured. */
export interface Candidate extends Position {
  /** In percent; of `loss` the loss. */
  readonly value: number;
}

export interface Choice {
  /** Of equally good ones the latest, which has trained longest. */
  readonly best: Candidate;
  /** Candidates since the first that was as good. */
  readonly waited: number;
}

/**
 * The best of a run's candidates.
 * @param candidates in the order of the run
 */
export function choose(by: Chooser, candidates: readonly Candidate[]): Choice | undefined {
  const values = candidates.map(({ value }) => value);
  const top = by === 'loss' ? Math.min(...values) : Math.max(...values);
  const best = candidates[values.lastIndexOf(top)];
  return best && { best, waited: values.length - 1 - values.indexOf(top) };
}

/** How much of a run is done. */
export interface Done {
  readonly epoch: number;
  /** In [0, 1]. */
  readonly progress: number;
}

/** As `every`: at the end of a run alone, for no run has so many epochs. */
export const AT_END = longest;

/** Rounding must not put off what is due. */
const SLACK = 1e-9;

/**
 * Whether an evaluation is due between two moments of a run: each `every` epochs, or below 1 each such share of the run, and
 * at its end.
 * @param every 0: never
 */
export function isDue(every: number, before: Done, now: Done): boolean {
  if (every === 0) return false;
  const passed = ({ epoch, progress }: Done) => Math.floor((every < 1 ? progress : epoch) / every + SLACK);
  return now.progress >= 1 || passed(now) > passed(before);
}
