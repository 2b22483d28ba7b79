export { type OrtOptions, ortPlugin } from './plugin.ts';
export { loadRuntime, refusal } from './runtime.ts';
