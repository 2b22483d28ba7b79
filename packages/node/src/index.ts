/** What a run needs of Node: its files, lock and log, plugins, training, evaluation and export. */
export { aboutText } from './about.ts';
export { deviceName, memoryOf, probe } from './backends.ts';
export { stepText, type Timed, timeSteps } from './bench.ts';
export { type Best, bestText, readBest } from './best-file.ts';
export {
  checkNewest,
  checkpointFile,
  holdsRun,
  openBest,
  openCheckpoint,
  readCheckpoint,
} from './checkpoint.ts';
export {
  type ClassifierFile,
  type ClassifierInfo,
  type ClassifierRecipe,
  readClassifier,
} from './classifier-file.ts';
export { type ClassifyJob, classify } from './classify.ts';
export { validation } from './classify-data.ts';
export { labelsFor, openLabelled, openLabelledTest } from './classify-labels.ts';
export { startTiming, type Timing } from './course.ts';
export { asStored, type Note, openData } from './dataset.ts';
export {
  type Evaluation,
  type EvaluationEvents,
  type EvaluationSets,
  type Measures,
  measureNames,
  measureRows,
  measureTitles,
  openEvaluation,
  usualKnn,
} from './evaluate.ts';
export {
  type ExportedModel,
  type ExportSettings,
  makeModel,
  type PrecisionName,
  precisions,
} from './export-model.ts';
export {
  describeSystemError,
  makeFolder,
  removePartial,
  sizeOfData,
  systemReason,
  writeAtomic,
} from './files.ts';
export {
  asCheckpoint,
  checkFinite,
  choiceOf,
  describeForeign,
  type Foreign,
  isCheckpoint,
  type Own,
  openAny,
  openEncoder,
  openEncoderBytes,
} from './foreign.ts';
export { openForeignModel } from './foreign-model.ts';
export { bytes } from './format.ts';
export { type JoinedWorld, joinWorld, launchedAs } from './join.ts';
export { type Lock, lockFolder, lockOutput, withOutput } from './lock.ts';
export { modelCard } from './model-card.ts';
export { type OnnxModel, openModel } from './onnx-session.ts';
export { openBackend } from './open-backend.ts';
export { type Keep, openTogether, withOpened } from './opened.ts';
export { planRun, type RunPlan } from './plan.ts';
export { type AutoTrained, autoTrain } from './planner/auto-train.ts';
export type { ComparedRow } from './planner/compare.ts';
export type { Phase, Planned, TrainHost, TrainRequest } from './planner/host.ts';
export type { RecipeLine } from './planner/lines.ts';
export { defaultWorkers, knownDevices, loadPlugins, registerPlugins } from './plugins.ts';
export type { OwnParts } from './prepare.ts';
export type { Reporter } from './reporter.ts';
export { type Shrunk, shrink } from './shrink.ts';
export { leftOut, skipList } from './skipped.ts';
export { entryIfThere, jsonIfThere, linesOf, namesIn, readText, textIfThere, withSource } from './source.ts';
export { catchInterrupts, type Stop } from './stop.ts';
export { type TrainJob, type TrainResult, train } from './train.ts';
export { modelFiles, tensorNames, transformersConfigs } from './transformers-js.ts';
export { version } from './versions.ts';
export { isWarmUpRise } from './warm-up.ts';
export { alone, FailedElsewhere, type World } from './world.ts';
