/** The `moco` command as a library. */

export { type Checkpoint, type Method, type RunConfig, type RunFlags, resolveConfig } from '@moco-ts/run';
export type { Io } from './io.ts';
export { main } from './main.ts';
export { openCheckpoint } from './run/checkpoint.ts';
export { type TrainResult, train } from './run/train.ts';
