export { type OrtOptions, ortPlugin } from './plugin.ts';
export { loadRuntime, refusal, threading } from './runtime.ts';
