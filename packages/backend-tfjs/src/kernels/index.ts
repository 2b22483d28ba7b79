import { conv } from './conv.ts';
import { elementwise } from './elementwise.ts';
import type { Kernels } from './kernel.ts';
import { matmul } from './matmul.ts';
import { norm } from './norm.ts';
import { pool } from './pool.ts';
import { shape } from './shape.ts';

/** The kernels of all ops, by op name. */
export const kernels: Kernels = { ...elementwise, ...shape, ...matmul, ...conv, ...pool, ...norm };
