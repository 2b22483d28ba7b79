import type { Rules } from './lowering.ts';
import { elementwise } from './ops/elementwise.ts';
import { linear } from './ops/linear.ts';
import { norm } from './ops/norm.ts';
import { shape } from './ops/shape.ts';
import { transformer } from './ops/transformer.ts';

/** The portable lowering: standard ONNX ops on row-major NCHW tensors. */
export const portableRules: Rules = { ...elementwise, ...shape, ...linear, ...norm, ...transformer };
