/** The `moco` command as a library. */

export { openCheckpoint, type TrainResult, train } from '@moco-ts/node';
export { type Checkpoint, type Method, type RunConfig, type RunFlags, resolveConfig } from '@moco-ts/run';
export type { Io } from './io.ts';
export { main } from './main.ts';
