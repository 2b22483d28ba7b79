/** What a run needs that has no terminal in it: for programs that train. */
export type { EvaluationSets, Measures } from './evaluate.ts';
export { openEncoder, openEncoderBytes } from './foreign.ts';
export { openBackend } from './open-backend.ts';
export { planRun, type RunPlan } from './plan.ts';
export { registerPlugins } from './plugins.ts';
export type { OwnParts } from './prepare.ts';
export type { Progress, Reporter } from './reporter.ts';
export { type TrainJob, type TrainResult, train } from './train.ts';
