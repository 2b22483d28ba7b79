/** From a graph to the bytes of an ONNX model, and the layouts in which its state is held. */
import type { Graph, StateSlot } from '@moco-ts/core';
import { lowerNodes, lowerPortable } from '@moco-ts/onnx';
import { filterValues } from './blocked/assign.ts';
import type { Layout } from './blocked/layout.ts';
import { BlockedLowering } from './blocked/lowering.ts';
import { rulesFor } from './blocked/rules.ts';

export interface LoweredModel {
  readonly bytes: Uint8Array;
  /** How each state input is stored, by name. */
  readonly layouts: ReadonlyMap<string, Layout>;
}

/** ONNX Runtime 1.30 knows newer ones; this is the oldest with all that is used. */
const opset = 18;

/**
 * @param block channels in a block of the nchwc domain; 0 for plain NCHW
 * @throws BackendError for an op without a rule
 */
export function lower(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  if (block === 0) {
    const { onnx } = lowerPortable(graph, true);
    return { bytes: onnx.encode({ opset, name: 'graph' }), layouts: new Map() };
  }
  const filters = filterValues(graph, state, block);
  const lowering = new BlockedLowering(graph, block, filters);
  const layouts = new Map<string, Layout>();
  const replaced = new Set(state.flatMap(({ output }) => (output === undefined ? [] : [output])));
  const owned = new Set(state.map(({ input }) => input));
  for (const { name, value } of graph.inputs) {
    const type = graph.values[value]!;
    const layout = owned.has(name) && filters.has(value) ? 'filter' : 'plain';
    lowering.setIn(layout, value, lowering.onnx.input(name, type, type.shape));
    if (owned.has(name)) layouts.set(name, layout);
  }
  lowerNodes(lowering, rulesFor(lowering));
  for (const { name, value } of graph.outputs) {
    const type = graph.values[value]!;
    const layout = replaced.has(name) && filters.has(value) ? 'filter' : 'plain';
    lowering.onnx.output(name, lowering.getIn(layout, value), type, type.shape);
  }
  return { bytes: lowering.onnx.encode({ opset, name: 'graph' }), layouts };
}
