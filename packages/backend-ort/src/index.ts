export { type LoweredModel, lower } from './lower.ts';
export { type OrtOptions, ortPlugin } from './plugin.ts';
export { probeBlock } from './probe.ts';
export { loadRuntime, refusal } from './runtime.ts';
