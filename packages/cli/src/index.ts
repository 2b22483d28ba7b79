/** The `moco` command as a library. */
export type { Io } from './io.ts';
export { main } from './main.ts';
export { type Checkpoint, openCheckpoint } from './run/checkpoint.ts';
export { type Method, type RunConfig, type RunFlags, resolveConfig } from './run/config.ts';
export { type TrainResult, train } from './run/train.ts';
