/** What `train` is asked for, and what a front end lends it. */
import type { Wording } from '@moco-ts/core';
import type { Timing } from '../course.ts';
import type { Lock } from '../lock.ts';
import type { RunPlan, Wish } from '../plan.ts';
import type { OwnParts } from '../prepare.ts';
import type { Reporter } from '../reporter.ts';
import type { TrainJob } from '../train.ts';
import type { Baselines } from './baselines.ts';
import type { RecipeLine } from './lines.ts';

export interface TrainRequest extends Wish {
  readonly own?: OwnParts | undefined;
  /** Where the log goes, as for `train`. */
  readonly log?: TrainJob['log'];
  /** The folder's lock, where the caller has it already. */
  readonly lock?: Lock | undefined;
}

/** What is under way. */
export type Phase = 'looking' | 'timing' | 'baselines' | 'training' | 'measuring' | 'exporting' | 'reporting';

/** What a front end hears, and what it lends. */
export interface TrainHost {
  readonly note: (text: Wording) => void;
  readonly warn: (text: Wording) => void;
  /** Set from outside: training ends after its current step, and what follows it is done. Before training nothing is left. */
  readonly stop: { readonly requested: boolean };
  /** Milliseconds since some time. */
  readonly clock: () => number;
  phase(phase: Phase): void;
  /** All is settled. @returns who shows the steps */
  planned(planned: Planned): Reporter;
  /** Writes the page of a run. @returns its path */
  report?(folder: string): Promise<string>;
}

/** A run that is about to begin. */
export interface Planned extends RunPlan {
  readonly timing: Timing;
  /** Empty for a run that goes on. */
  readonly recipe: readonly RecipeLine[];
  /** What its encoder is to beat. */
  readonly baselines: Baselines;
}
