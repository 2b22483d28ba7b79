import { elementwise } from './elementwise.ts';
import type { Kernels } from './kernel.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import { shape } from './shape.ts';

/** Every op's kernel. */
export const kernels: Kernels = { ...elementwise, ...shape, ...linear, ...norm };
