import type { Wording } from '@moco-ts/core';
import type { Progress } from '@moco-ts/run';
import type { Measures } from './evaluate.ts';

/** Receives the events of a run. */
export interface Reporter {
  /** The run waits for it. */
  step(progress: Progress): void | Promise<void>;
  epoch(progress: Progress): void;
  /** @param epoch epochs that are done */
  measured?(epoch: number, measures: Measures): void;
  note(text: string): void;
  warn(text: Wording): void;
  /** Leaves the terminal in order. */
  close(): void;
}
