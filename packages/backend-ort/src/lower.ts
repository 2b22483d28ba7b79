/** From a graph to the bytes of an ONNX model, and the layouts in which its state is held. */
import type { Graph, StateSlot } from '@moco-ts/core';
import { lowerNodes, PlainLowering, portableRules } from '@moco-ts/onnx';
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

/** The model's name of a graph's output: a graph may name an input and an output alike, ONNX may not. */
export function outputName(name: string): string {
  return `out.${name}`;
}

/**
 * @param block channels in a block of the nchwc domain; 0 for plain NCHW
 * @throws BackendError for an op without a rule
 */
export function lower(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  return block === 0 ? lowerPlain(graph) : lowerBlocked(graph, state, block);
}

function lowerPlain(graph: Graph): LoweredModel {
  const lowering = new PlainLowering(graph, { contrib: true });
  const { onnx } = lowering;
  for (const { name, value } of graph.inputs)
    lowering.set(value, onnx.input(name, lowering.type(value), lowering.type(value).shape));
  lowerNodes(lowering, portableRules);
  for (const { name, value } of graph.outputs)
    onnx.output(outputName(name), lowering.get(value), lowering.type(value), lowering.type(value).shape);
  return { bytes: onnx.encode({ opset, name: 'graph' }), layouts: new Map() };
}

function lowerBlocked(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  const filters = filterValues(graph, state, block);
  const lowering = new BlockedLowering(graph, block);
  const { onnx } = lowering;
  const layouts = new Map<string, Layout>();
  const owned = new Set(state.map(({ input }) => input));
  const replaced = new Set(state.map(({ output }) => output));
  for (const { name, value } of graph.inputs) {
    const type = lowering.type(value);
    const layout = owned.has(name) && filters.has(value) ? 'filter' : 'plain';
    lowering.setIn(layout, value, onnx.input(name, type, type.shape));
    layouts.set(name, layout);
  }
  lowerNodes(lowering, rulesFor(lowering));
  for (const { name, value } of graph.outputs) {
    const type = lowering.type(value);
    const layout = replaced.has(name) && filters.has(value) ? 'filter' : 'plain';
    onnx.output(outputName(name), lowering.getIn(layout, value), type, type.shape);
  }
  return { bytes: onnx.encode({ opset, name: 'graph' }), layouts };
}
