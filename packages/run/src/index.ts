export {
  type Checkpoint,
  type CheckpointInfo,
  checkpointName,
  checkpointOf,
  checkpointParts,
  checksum,
  encodeCheckpoint,
  hexadecimal,
} from './checkpoint.ts';
export {
  isBackendFile,
  isTimed,
  lastEpoch,
  lengthOf,
  resolveConfig,
  resumeConfig,
  usualConfig,
  viewsOf,
} from './config.ts';
export * from './course.ts';
export type { Crc32 } from './crc32.ts';
export * from './exported.ts';
export {
  defineLogSink,
  type LogEntry,
  type LogSink,
  type LogSinkPlugin,
  logSinks,
  type NamedSink,
  type RunFacts,
  type RunOutcome,
  registerLogSink,
  type Scalars,
} from './log-sink.ts';
export {
  createMeters,
  Meter,
  type MeterState,
  type MeterStates,
  type Meters,
  metricMeans,
} from './meters.ts';
export * from './method.ts';
export type { Method } from './methods/index.ts';
export {
  createMethod,
  encoderOf,
  initialParams,
  modelConfig,
  queryParams,
  rateAt,
  viewNames,
} from './model.ts';
export * from './presets.ts';
export {
  type Extent,
  FEWEST_IMAGES,
  isWorth,
  recipeFlags,
  recipeFor,
  scalesFor,
  type TimedScale,
} from './recipes/choose.ts';
export type { Recipe, Scale } from './recipes/table.ts';
export { methodOf, pluginMethods, registerMethod, takes } from './registry.ts';
export * as rules from './rule.ts';
export { cosine, currentValue, durationText, faultOf, type ListShape, type Rule, whole } from './rule.ts';
export * from './selection.ts';
export * from './session.ts';
export {
  type ConfigOf,
  defaulted,
  type Group,
  longFlag,
  optional,
  type Setting,
  type SettingTable,
  summaryOf,
} from './setting.ts';
export type { CommonConfig, Optimizer } from './settings.ts';
export { type Start, startFrom } from './start.ts';
export { checkSettings, storedConfig } from './stored.ts';
export { currentNames } from './stored-names.ts';
export {
  defaults,
  meaningful,
  type RunConfig,
  type RunFlags,
  type SettingName,
  settingEntries,
  settingNamed,
  settings,
  settingsFault,
} from './table.ts';
export * from './vectors.ts';
