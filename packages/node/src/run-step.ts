import { type Backend, type TrainingStep, takingBytes } from '@moco-ts/core';
import { type RunConfig, type RunMethod, viewNames } from '@moco-ts/run';

/** A run's step, as a backend takes it. */
export interface RunStep {
  readonly step: TrainingStep;
  /** Images are to be given as bytes. */
  readonly bytes: boolean;
  /** The names of its inputs that are views, where somebody asks for them. */
  readonly views: readonly string[];
}

/**
 * @param step as the method traced it
 * @param named whether its views are asked for, also where the backend takes no bytes
 */
export function runStep(
  backend: Backend,
  method: RunMethod,
  config: RunConfig,
  step: TrainingStep,
  named = false,
): RunStep {
  const { byteImages = false } = backend.capabilities();
  const views = byteImages || named ? viewNames(method, config) : [];
  const bytes = byteImages && views.length > 0;
  return { step: bytes ? takingBytes(step, views, config) : step, bytes, views };
}
