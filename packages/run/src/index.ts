export * from './checkpoint.ts';
export * from './config.ts';
export { type Crc32, crc32 } from './crc32.ts';
export * from './exported.ts';
export * from './meters.ts';
export * from './method.ts';
export * from './methods.ts';
export * from './model.ts';
export * from './presets.ts';
