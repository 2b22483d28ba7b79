export * from './attention.ts';
export * from './init.ts';
export * from './layers.ts';
