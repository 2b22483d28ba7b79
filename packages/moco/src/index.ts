/**
 * MoCo.ts as a library: {@link train} makes an encoder of images within a time, {@link pretrain} trains one by settings of your own,
 * {@link loadEncoder} uses it.
 * @packageDocumentation
 */

export {
  type Backend,
  BackendError,
  type BackendPlugin,
  CheckpointError,
  DataError,
  DivergedError,
  defineBackend,
  defineEncoder,
  type Encoder,
  type ErrorCode,
  errorCodes,
  SettingError,
  UserError,
} from '@moco-ts/core';
export {
  decodeBytes,
  decodeFile,
  defineDataset,
  type ImageDataset,
  MachineError,
  type OwnDataset,
  openDataset,
  type RgbImage,
} from '@moco-ts/data';
export type { Measures } from '@moco-ts/node';
export {
  defineLogSink,
  defineMethod,
  type LogEntry,
  type LogSink,
  type LogSinkPlugin,
  type Method,
  type MethodPlugin,
  type Optimizer,
  type PresetName,
  type RunConfig,
  type RunFacts,
  type RunOutcome,
  type Scalars,
} from '@moco-ts/run';
export { type EncoderOptions, type Image, type LoadedEncoder, loadEncoder } from './encoder.ts';
export type { LazyRun } from './lazy-run.ts';
export type * from './options.ts';
export {
  type BestCheckpoint,
  type PretrainResult,
  type PretrainRun,
  pretrain,
  type Step,
} from './pretrain.ts';
export {
  type Compared,
  type MeasuredEvent,
  type PhaseEvent,
  type RecipeChoice,
  type RecipeEvent,
  type StepEvent,
  type TrainEvent,
  type TrainOptions,
  type TrainPhase,
  type TrainResult,
  type TrainRun,
  train,
} from './train.ts';
