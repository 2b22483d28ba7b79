/** From a graph to the bytes of an ONNX model, and the layouts in which its state is held. */
import {
  type Graph,
  producers,
  type Shape,
  type Stage,
  type StateSlot,
  sameShape,
  sizeOf,
} from '@moco-ts/core';
import { lowerNodes, type OnnxNode, PlainLowering, portableRules } from '@moco-ts/onnx';
import { filterValues, isElementwise } from './blocked/assign.ts';
import { type Update, updateInPlace } from './blocked/inplace.ts';
import { type Layout, tileShape } from './blocked/layout.ts';
import { BlockedLowering } from './blocked/lowering.ts';
import { rulesFor } from './blocked/rules.ts';

/** How a value lies in memory between models. */
export interface Held {
  readonly layout: Layout;
  /** The shape in which models take it: its own, or that of a flattened tile. */
  readonly shape: Shape;
}

export interface LoweredModel {
  readonly bytes: Uint8Array;
  /** The shapes in which it takes its inputs, by name; those of the graph where there is none. */
  readonly inputs: ReadonlyMap<string, Shape>;
  /** And in which it gives its outputs. */
  readonly outputs: ReadonlyMap<string, Shape>;
  /** The states, by the input's name, whose new value may be written over the old one. */
  readonly inPlace: ReadonlySet<string>;
  /** Whether it begins with an output that is no tensor: see {@link noTensor}. */
  readonly refusesFirst: boolean;
  /** The model's nodes that the WebGPU provider takes and then can't run, or runs wrongly. */
  readonly notOnWebgpu: readonly string[];
}

export interface LoweredStages {
  readonly models: readonly LoweredModel[];
  /** How state is held, by the input's name; plain, in its own shape, where it isn't named. */
  readonly held: ReadonlyMap<string, Held>;
}

/** What is known of a graph when one of its stages is lowered. */
interface StageContext extends Pick<LoweredStages, 'held'> {
  /** Of the whole graph. */
  readonly state: readonly StateSlot[];
  /** How what stages leave to others is held, by value: each stage adds its own. */
  readonly kept: Map<number, Held>;
  /** Whether sums between replicas may be of values as they are held, which then is the same on all. */
  readonly alike: boolean;
  /** The values held as blocked filters. */
  readonly filters: ReadonlySet<number>;
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

/**
 * The models of a graph's stages.
 * @param block channels in a block of the nchwc domain; 0 for plain NCHW
 * @param alike whether all replicas have the same block
 * @throws BackendError for an op without a rule
 */
export function lowerStages(
  graph: Graph,
  stages: readonly Stage[],
  state: readonly StateSlot[],
  block: number,
  alike: boolean,
): LoweredStages {
  const filters = block === 0 ? new Set<number>() : filterValues(graph, state, block);
  const held = block === 0 ? new Map<string, Held>() : heldState(graph, state, filters, block);
  const context = { state, held, filters, alike, kept: new Map<number, Held>() };
  const models = stages.map((stage, at) => {
    const later = new Set(
      stages.slice(at + 1).flatMap(({ graph: { inputs } }) => inputs.map(({ name }) => name)),
    );
    return block === 0 ? lowerPlain(stage, context) : lowerBlocked(stage, context, block, later);
  });
  return { models, held };
}

/** The model of a graph that is not cut. */
export function lower(graph: Graph, state: readonly StateSlot[], block: number): LoweredModel {
  return lowerStages(graph, [{ graph, carried: [], sums: [], gathers: [] }], state, block, true).models[0]!;
}

/** Whether a stage has outputs that go into buffers which stay. */
function givesKept({ graph, sums, gathers, carried }: Stage, state: readonly StateSlot[]): boolean {
  if (sums.length + gathers.length + carried.length > 0) return true;
  const replacing = new Set(state.map(({ output }) => output));
  return graph.outputs.some(({ name }) => replacing.has(name));
}

function lowerPlain(stage: Stage, { state }: StageContext): LoweredModel {
  const { graph } = stage;
  const lowering = new PlainLowering(graph, { contrib: true });
  const { onnx } = lowering;
  for (const { name, value } of graph.inputs)
    lowering.set(value, onnx.input(name, lowering.type(value), lowering.type(value).shape));
  lowerNodes(lowering, portableRules);
  for (const { name, value } of graph.outputs)
    onnx.output(outputName(name), lowering.get(value), lowering.type(value), lowering.type(value).shape);
  const refusesFirst = givesKept(stage, state);
  if (refusesFirst) onnx.firstOutputEmpty(noTensor);
  return {
    bytes: onnx.encode({ opset, name: 'graph' }),
    inputs: new Map(),
    outputs: new Map(),
    inPlace: new Set(),
    refusesFirst,
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

function lowerBlocked(
  stage: Stage,
  context: StageContext,
  block: number,
  readLater: ReadonlySet<string>,
): LoweredModel {
  const { graph, sums, carried } = stage;
  const { state, held, kept, filters, alike } = context;
  const lowering = new BlockedLowering(graph, block);
  const { onnx } = lowering;
  const plain = (value: number): Held => ({ layout: 'plain', shape: lowering.shape(value) });
  const inputs = new Map<string, Shape>();
  for (const { name, value } of graph.inputs) {
    const { layout, shape } = held.get(name) ?? kept.get(value) ?? plain(value);
    inputs.set(name, shape);
    const given = onnx.input(name, lowering.type(value), shape);
    if (sameShape(shape, lowering.shape(value))) lowering.setIn(layout, value, given);
    else lowering.setTile(layout, value, given);
  }
  const inputOf = new Map(state.map(({ input, output }) => [output, input]));
  for (const { name, value } of graph.outputs) {
    const input = graph.inputs.find((port) => port.name === inputOf.get(name));
    if (input) lowering.replaces(value, input.value);
  }
  lowerNodes(lowering, rulesFor(lowering));
  const passed = new Set(carried.map(({ name }) => name));
  const outputs = new Map<string, Shape>();
  const updates: Update[] = [];
  const summed = new Map(sums.map(({ from, to }) => [from.name, to.value]));
  const give = (name: string, value: number, { layout, shape }: Held) => {
    const tile = !sameShape(shape, lowering.shape(value));
    const result = tile ? lowering.tile(layout, value) : lowering.getIn(layout, value);
    onnx.output(outputName(name), result, lowering.type(value), shape);
    outputs.set(name, shape);
    return result;
  };
  for (const { name, value } of graph.outputs) {
    const sum = summed.get(name);
    const input = inputOf.get(name);
    if (sum !== undefined) {
      const layout = alike && filters.has(value) ? 'filter' : 'plain';
      give(name, value, { ...asMade(lowering, value), layout });
      // Updates go over the sum in memory order.
      kept.set(sum, { layout, shape: tileShape(lowering.shape(value), block) ?? lowering.shape(value) });
    } else if (input !== undefined) {
      const as = held.get(input) ?? plain(value);
      const result = give(name, value, as);
      const large = !sameShape(as.shape, lowering.shape(value)) || sizeOf(as.shape) >= worthSharing;
      if (large && !readLater.has(input)) updates.push({ input, result, shape: as.shape });
      kept.set(value, as);
    } else {
      const as = passed.has(name) ? asMade(lowering, value) : plain(value);
      give(name, value, as);
      if (!kept.has(value)) kept.set(value, as);
    }
  }
  const inPlace = updateInPlace(onnx, updates);
  const refusesFirst = givesKept(stage, state);
  if (refusesFirst) onnx.firstOutputEmpty(noTensor);
  const bytes = onnx.encode({ opset, name: 'graph' });
  return { bytes, inputs, outputs, inPlace, refusesFirst, notOnWebgpu: [] };
}

/** A value as its stage has it, without a conversion. */
function asMade(lowering: BlockedLowering, value: number): Held {
  const shape = lowering.shape(value);
  const tile = lowering.hasTile(value) ? tileShape(shape, lowering.block) : undefined;
  return { layout: lowering.layoutOf(value), shape: tile ?? shape };
}

/**
 * How state is held: as blocked filters where convolutions read or make it, and as flattened tiles where it goes through arithmetic
 * alone, so that its update ends in its buffer.
 */
function heldState(
  graph: Graph,
  state: readonly StateSlot[],
  filters: ReadonlySet<number>,
  block: number,
): Map<string, Held> {
  const made = producers(graph);
  const held = new Map<string, Held>();
  for (const { input, output } of state) {
    const from = graph.inputs.find(({ name }) => name === input);
    if (!from) continue;
    const to = graph.outputs.find(({ name }) => name === output);
    const maker = to && made.get(to.value);
    const { shape } = graph.values[from.value]!;
    const tile = maker && isElementwise(maker, graph) ? tileShape(shape, block) : undefined;
    held.set(input, { layout: filters.has(from.value) ? 'filter' : 'plain', shape: tile ?? shape });
  }
  return held;
}
