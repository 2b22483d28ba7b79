import type { Wording } from '@moco-ts/core';
import type { Progress } from '@moco-ts/run';
import type { Measures } from './evaluate.ts';

/** Receives the events of a run. */
export interface Reporter {
  /** The run waits for it. */
  step(progress: Progress): void | Promise<void>;
  epoch(progress: Progress): void;
  /**
   * @param epoch epochs that are done
   * @param best whether it is the best so far; undefined in a run that does not choose
   */
  measured?(epoch: number, measures: Measures, best: boolean | undefined): void;
  note(text: string): void;
  warn(text: Wording): void;
  /** Leaves the terminal in order. */
  close(): void;
}
