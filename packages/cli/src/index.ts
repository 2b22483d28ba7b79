/** The `moco` command as a function. */
export type { Streams } from './io.ts';
export { main } from './main.ts';
