/** From a graph to the bytes of an ONNX model, and the layouts in which its state is held. */
import { type Graph, producers, type Shape, type StateSlot, sizeOf } from '@moco-ts/core';
import { lowerNodes, type OnnxNode, PlainLowering, portableRules } from '@moco-ts/onnx';
import { filterValues, isElementwise } from './blocked/assign.ts';
import { type Update, updateInPlace } from './blocked/inplace.ts';
import { type Layout, tileShape } from './blocked/layout.ts';
import { BlockedLowering } from './blocked/lowering.ts';
import { rulesFor } from './blocked/rules.ts';

export interface LoweredModel {
  readonly bytes: Uint8Array;
  /** How each state input is stored, by name. */
  readonly layouts: ReadonlyMap<string, Layout>;
  /** The shape in which the model takes and gives a state, where that isn't the graph's, by the input's name. */
  readonly tiles: ReadonlyMap<string, Shape>;
  /** The states, by the input's name, whose new value may be written over the old one. */
  readonly inPlace: ReadonlySet<string>;
  /** The model's nodes that the WebGPU provider takes and then can't run, or runs wrongly. */
  readonly notOnWebgpu: readonly string[];
}

/** ONNX Runtime 1.30 knows newer ones; this is the oldest with all that is used. */
const opset = 18;

/** The model's name of a graph's output: a graph may name an input and an output alike, ONNX may not. */
export function outputName(name: string): string {
  return `out.${name}`;
}

/**
 * The first output of a model that gives state, a sequence. onnxruntime-node 1.30 copies every output of a step when it is over, also one that
 * went into a given buffer: 336 MB and 80 ms for a ResNet-50. It refuses a sequence before it copies what comes behind it.
 */
export const noTensor = 'nothing';

export function givesState(state: readonly StateSlot[]): boolean {
  return state.some(({ output }) => output !== undefined);
}

/**
 * @param block channels in a block of the nchwc domain; 0 for plain NCHW
 * @throws BackendError for an op without a rule
 */
export function lower(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  return block === 0 ? lowerPlain(graph, state) : lowerBlocked(graph, state, block);
}

function lowerPlain(graph: Graph, state: readonly StateSlot[]): LoweredModel {
  const lowering = new PlainLowering(graph, { contrib: true });
  const { onnx } = lowering;
  for (const { name, value } of graph.inputs)
    lowering.set(value, onnx.input(name, lowering.type(value), lowering.type(value).shape));
  lowerNodes(lowering, portableRules);
  for (const { name, value } of graph.outputs)
    onnx.output(outputName(name), lowering.get(value), lowering.type(value), lowering.type(value).shape);
  if (givesState(state)) onnx.firstOutputEmpty(noTensor);
  return {
    bytes: onnx.encode({ opset, name: 'graph' }),
    layouts: new Map(),
    tiles: new Map(),
    inPlace: new Set(),
    notOnWebgpu: onnx.nodes.filter(isWrongOnWebgpu).map(({ name }) => name),
  };
}

/**
 * As of ONNX Runtime 1.30: its max-pool gives no places of the largest, its layer normalisation takes the variance from
 * squares (5e-3 wrong where the mean is a hundred deviations), its grouped transposed convolution gives zeros.
 */
function isWrongOnWebgpu({ opType, output }: OnnxNode): boolean {
  return (
    (opType === 'MaxPool' && output.length > 1) ||
    opType === 'LayerNormalization' ||
    opType === 'ConvTranspose'
  );
}

/** Smaller states keep two buffers: what keeps their readers in order would cost more than it saves. */
const worthSharing = 4096;

function lowerBlocked(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  const filters = filterValues(graph, state, block);
  const lowering = new BlockedLowering(graph, block);
  const { onnx } = lowering;
  const layouts = new Map<string, Layout>();
  const tiles = new Map<string, Shape>();
  const slots = new Map(state.map((slot) => [slot.input, slot]));
  const inputOf = new Map(state.map(({ input, output }) => [output, input]));
  const tiled = tiledState(graph, state, block);
  for (const { name, value } of graph.inputs) {
    const type = lowering.type(value);
    const layout = slots.has(name) && filters.has(value) ? 'filter' : 'plain';
    layouts.set(name, layout);
    const tile = tiled.get(name);
    if (tile) tiles.set(name, tile);
    const given = onnx.input(name, type, tile ?? type.shape);
    if (tile) lowering.setTile(layout, value, given);
    else lowering.setIn(layout, value, given);
  }
  for (const { name, value } of graph.outputs) {
    const input = graph.inputs.find((port) => port.name === inputOf.get(name));
    if (input) lowering.replaces(value, input.value);
  }
  lowerNodes(lowering, rulesFor(lowering));
  const updates: Update[] = [];
  for (const { name, value } of graph.outputs) {
    const type = lowering.type(value);
    const input = inputOf.get(name);
    const layout = input !== undefined && filters.has(value) ? 'filter' : 'plain';
    const tile = input === undefined ? undefined : tiles.get(input);
    const result = tile ? lowering.tile(layout, value) : lowering.getIn(layout, value);
    const large = tile !== undefined || sizeOf(type.shape) >= worthSharing;
    if (input !== undefined && large) updates.push({ input, result, shape: tile ?? type.shape });
    onnx.output(outputName(name), result, type, tile ?? type.shape);
  }
  const inPlace = updateInPlace(onnx, updates);
  if (givesState(state)) onnx.firstOutputEmpty(noTensor);
  return { bytes: onnx.encode({ opset, name: 'graph' }), layouts, tiles, inPlace, notOnWebgpu: [] };
}

/** State that goes through arithmetic alone is held as flattened tiles, so that its update ends in its buffer. */
function tiledState(graph: Graph, state: readonly StateSlot[], block: number): Map<string, Shape> {
  const made = producers(graph);
  const shapes = new Map<string, Shape>();
  for (const { input, output } of state) {
    const from = graph.inputs.find(({ name }) => name === input);
    const to = graph.outputs.find(({ name }) => name === output);
    if (!from || !to) continue;
    const tile = tileShape(graph.values[from.value]!.shape, block);
    const maker = made.get(to.value);
    if (tile && maker && isElementwise(maker, graph)) shapes.set(input, tile);
  }
  return shapes;
}
