import type { Wording } from '@moco-ts/core';
import type { Meters } from '@moco-ts/run';
import type { Measures } from './evaluate.ts';

/** A run's state after a step. */
export interface Progress {
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of this epoch that are done. */
  readonly step: number;
  readonly steps: number;
  /** Steps of the run that are done. */
  readonly globalStep: number;
  readonly meters: Meters;
  readonly learningRate: number;
  /** Images per second, lately. */
  readonly rate: number;
  readonly etaSeconds: number;
}

/** Who is told of a run while it goes. */
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
