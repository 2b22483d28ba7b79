import { type Backend, type TrainingStep, takingBytes } from '@moco-ts/core';
import { type RunConfig, type RunMethod, viewNames } from '@moco-ts/run';

/** A run's step, as a backend takes it. */
export interface RunStep {
  readonly step: TrainingStep;
  /** Images are to be given as bytes. */
  readonly bytes: boolean;
  /** The names of its inputs that are views. */
  readonly views: readonly string[];
}

/** @param step as the method traced it */
export function runStep(backend: Backend, method: RunMethod, config: RunConfig, step: TrainingStep): RunStep {
  const views = viewNames(method, config);
  const bytes = views.length > 0 && backend.capabilities().byteImages === true;
  return { step: bytes ? takingBytes(step, views, config) : step, bytes, views };
}
