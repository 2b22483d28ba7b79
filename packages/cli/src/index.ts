/** The `moco` command as a library. */
export type { Io } from './io.ts';
export { main } from './main.ts';
export { type Checkpoint, openCheckpoint } from './run/checkpoint.ts';
export { type RunConfig, type RunFlags, resolveConfig } from './run/config.ts';
export type { Method } from './run/methods.ts';
export { type TrainResult, train } from './run/train.ts';
