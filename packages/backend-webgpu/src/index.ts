export { webgpuPlugin } from './plugin.ts';
