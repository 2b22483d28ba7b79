/** The `moco` command as a function. */
export type { Io } from './io.ts';
export { main } from './main.ts';
