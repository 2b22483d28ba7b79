import type { Graph } from '@moco-ts/core';
import { type Lowering, lowerNodes, PlainLowering, type Rules } from './lowering.ts';
import { elementwise } from './ops/elementwise.ts';
import { linear } from './ops/linear.ts';
import { norm } from './ops/norm.ts';
import { shape } from './ops/shape.ts';

/** The portable lowering: standard ONNX ops on row-major NCHW tensors. */
export const portableRules: Rules = { ...elementwise, ...shape, ...linear, ...norm };

/** Lowers a whole graph, its ports included, into row-major tensors. */
export function lowerPortable(graph: Graph, contrib: boolean): Lowering {
  const lowering = new PlainLowering(graph, { contrib });
  for (const { name, value } of graph.inputs) {
    const type = graph.values[value]!;
    lowering.set(value, lowering.onnx.input(name, type, type.shape));
  }
  lowerNodes(lowering, portableRules);
  for (const { name, value } of graph.outputs) {
    const type = graph.values[value]!;
    lowering.onnx.output(name, lowering.get(value), type, type.shape);
  }
  return lowering;
}
