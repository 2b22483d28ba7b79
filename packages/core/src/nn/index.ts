export * from './init.ts';
export * from './layers.ts';
