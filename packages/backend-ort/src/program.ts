/** One ONNX Runtime session with its state. */
import {
  allocate,
  BackendError,
  bytesOf,
  type CompileOptions,
  checkedState,
  feedNamed,
  type Graph,
  type HostType,
  hostType,
  type Port,
  type Program,
  resultPorts,
  type Shape,
  type StateSlot,
  sizeOf,
  slotNamed,
  stateTypes,
  type Tensor,
  type Tensors,
} from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import { blockFilter, type Layout, unblockFilter } from './blocked/layout.ts';
import { givesState, type LoweredModel, noTensor, outputName } from './lower.ts';
import { refusal, refusesNoTensor } from './runtime.ts';

/**
 * A state input's two buffers: one is read by the step, the other written, then they change roles. They are one and the
 * same where the model updates in place.
 */
interface Slot extends StateSlot {
  readonly type: HostType;
  readonly layout: Layout;
  current: Ort.Tensor;
  /** Missing for state that no step changes. */
  next: Ort.Tensor | undefined;
  /** Why there is no value, if there is none. */
  missing: string | undefined;
}

export function createProgram(
  ort: typeof Ort,
  graph: Graph,
  model: LoweredModel,
  session: Ort.InferenceSession,
  options: CompileOptions,
  block: number,
): Program {
  return new OrtProgram(ort, graph, model, session, options, block);
}

class OrtProgram implements Program {
  readonly memory: Program['memory'];
  private readonly ort: typeof Ort;
  private readonly graph: Graph;
  private readonly session: Ort.InferenceSession;
  private readonly block: number;
  private readonly slots: Map<string, Slot>;
  private readonly feedPorts: readonly Port[];
  private readonly resultPorts: readonly Port[];
  /** Whether the model begins with an output that is no tensor: see {@link noTensor}. */
  private readonly refusesFirst: boolean;

  constructor(
    ort: typeof Ort,
    graph: Graph,
    model: LoweredModel,
    session: Ort.InferenceSession,
    { state = [] }: CompileOptions,
    block: number,
  ) {
    this.ort = ort;
    this.graph = graph;
    this.session = session;
    this.block = block;
    this.slots = this.slotsOf(model, state);
    this.feedPorts = graph.inputs.filter(({ name }) => !this.slots.has(name));
    this.resultPorts = resultPorts(graph, state);
    this.refusesFirst = givesState(state);
    this.memory = {
      stateBytes: [...this.slots.values()].reduce(
        (total, { type, current, next }) =>
          total + sizeOf(type.shape) * bytesOf(type.dtype) * (next && next !== current ? 2 : 1),
        0,
      ),
    };
  }

  async load(values: Tensors): Promise<void> {
    for (const [slot, value] of checkedState(this.slots, values)) {
      (slot.current.data as Float32Array).set(this.toDevice(slot, value) as Float32Array);
      slot.missing = undefined;
    }
  }

  async run(feeds: Tensors): Promise<Record<string, Tensor>> {
    const inputs: Record<string, Ort.Tensor> = {};
    const fetches: Record<string, Ort.Tensor | null> = this.refusesFirst ? { [noTensor]: null } : {};
    const results: Record<string, Ort.Tensor> = {};
    for (const slot of this.slots.values()) {
      if (slot.missing) throw new BackendError(`the state "${slot.input}" ${slot.missing}`);
      inputs[slot.input] = slot.current;
      if (slot.output !== undefined) fetches[outputName(slot.output)] = slot.next!;
    }
    for (const port of this.feedPorts)
      inputs[port.name] = feed(this.ort, port.name, feeds, hostType(this.graph, port));
    for (const port of this.resultPorts) {
      const { name } = port;
      const type = hostType(this.graph, port);
      results[name] = this.blank(type, type.shape);
      fetches[outputName(name)] = results[name];
    }
    await this.session.run(inputs, fetches as Ort.InferenceSession.FetchesType).catch((error: Error) => {
      if (refusesNoTensor(error)) return;
      // What was to be updated in place is half old and half new.
      for (const slot of this.slots.values())
        if (slot.next === slot.current) slot.missing = 'was lost by a step that failed; load it again';
      throw refusal(error);
    });
    for (const slot of this.slots.values())
      if (slot.next) [slot.current, slot.next] = [slot.next, slot.current];
    return Object.fromEntries(
      this.resultPorts.map((port) => {
        const { name } = port;
        const { dtype, shape } = hostType(this.graph, port);
        return [name, { dtype, shape, data: results[name]!.data as Tensor['data'] }];
      }),
    );
  }

  async read(names: readonly string[] = [...this.slots.keys()]): Promise<Record<string, Tensor>> {
    return Object.fromEntries(names.map((name) => [name, this.fromDevice(slotNamed(this.slots, name))]));
  }

  async dispose(): Promise<void> {
    // A reference to the disposed program must not keep its state alive.
    this.slots.clear();
    await this.session.release();
  }

  private slotsOf(model: LoweredModel, state: readonly StateSlot[]): Map<string, Slot> {
    const slots = new Map<string, Slot>();
    for (const [{ input, output }, type] of stateTypes(this.graph, state)) {
      const blank = () => this.blank(type, model.tiles.get(input) ?? type.shape);
      const layout = model.layouts.get(input) ?? 'plain';
      const current = blank();
      const next = output === undefined ? undefined : model.inPlace.has(input) ? current : blank();
      const slot = { input, type, layout, current, next, missing: 'was never loaded' };
      slots.set(input, output === undefined ? slot : { ...slot, output });
    }
    return slots;
  }

  private blank({ dtype, shape }: HostType, dims: Shape): Ort.Tensor {
    return new this.ort.Tensor(dtype, allocate(dtype, sizeOf(shape)) as Float32Array, [...dims]);
  }

  private toDevice({ layout, type }: Slot, { data }: Tensor): Tensor['data'] {
    return layout === 'filter' ? blockFilter(data as Float32Array, type.shape, this.block) : data;
  }

  private fromDevice({ input, layout, type, current, missing }: Slot): Tensor {
    if (missing) throw new BackendError(`the state "${input}" ${missing}`);
    const data = current.data as Float32Array;
    const copy = layout === 'filter' ? unblockFilter(data, type.shape, this.block) : data.slice();
    return { ...type, data: copy };
  }
}

function feed(ort: typeof Ort, name: string, feeds: Tensors, type: HostType): Ort.Tensor {
  const value = feedNamed(feeds, name, type);
  return new ort.Tensor(type.dtype, value.data as Float32Array, [...type.shape]);
}
