export * from './conv.ts';
export * from './elementwise.ts';
export * from './index-ops.ts';
export * from './matmul.ts';
export * from './norm.ts';
export * from './pool.ts';
export * from './reduce.ts';
export * from './shape.ts';
