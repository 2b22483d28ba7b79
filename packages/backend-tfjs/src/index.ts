export { tfjsPlugin } from './plugin.ts';
export { createProgram } from './program.ts';
