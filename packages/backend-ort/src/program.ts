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
import { blockFilter, unblockFilter } from './blocked/layout.ts';
import { type LoweredStages, noTensor, outputName } from './lower.ts';
import { refusal, refusesNoTensor } from './runtime.ts';
import { type CompiledStage, type Own, type Slot, type Step, stepsOf } from './steps.ts';

export function createProgram(
  ort: typeof Ort,
  graph: Graph,
  stages: readonly CompiledStage[],
  held: LoweredStages['held'],
  options: CompileOptions,
  block: number,
): Program {
  return new OrtProgram(ort, graph, stages, held, options, block);
}

class OrtProgram implements Program {
  readonly memory: Program['memory'];
  private readonly ort: typeof Ort;
  private readonly graph: Graph;
  private steps: readonly Step[];
  private readonly block: number;
  private readonly slots: Map<string, Slot>;
  private readonly feedPorts: readonly Port[];
  private readonly resultPorts: readonly Port[];

  constructor(
    ort: typeof Ort,
    graph: Graph,
    stages: readonly CompiledStage[],
    held: LoweredStages['held'],
    { state = [], communicator }: CompileOptions,
    block: number,
  ) {
    this.ort = ort;
    this.graph = graph;
    this.block = block;
    this.slots = this.slotsOf(stages, held, state);
    this.feedPorts = graph.inputs.filter(({ name }) => !this.slots.has(name));
    this.resultPorts = resultPorts(graph, state);
    const { steps, bytes } = stepsOf(ort, graph, stages, this.slots, communicator);
    this.steps = steps;
    this.memory = {
      stateBytes: [...this.slots.values()].reduce(
        (total, { type, current, next }) =>
          total + sizeOf(type.shape) * bytesOf(type.dtype) * (next && next !== current ? 2 : 1),
        bytes,
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
    for (const { input, missing } of this.slots.values())
      if (missing) throw new BackendError(`the state "${input}" ${missing}`);
    const own: Own = {
      feeds: new Map(
        this.feedPorts.map((port) => [
          port.name,
          feed(this.ort, port.name, feeds, hostType(this.graph, port)),
        ]),
      ),
      results: new Map(
        this.resultPorts.map((port) => {
          const type = hostType(this.graph, port);
          return [port.name, this.blank(type, type.shape)];
        }),
      ),
    };
    const begun: Slot[] = [];
    try {
      for (const step of this.steps) {
        begun.push(...step.overwritten);
        await compute(step, own);
        await step.exchange(own);
      }
    } catch (error) {
      // What was to be updated in place is half old and half new.
      for (const slot of begun) slot.missing = 'was lost by a step that failed; load it again';
      throw error;
    }
    for (const slot of this.slots.values())
      if (slot.next) [slot.current, slot.next] = [slot.next, slot.current];
    return Object.fromEntries(
      this.resultPorts.map((port) => {
        const { dtype, shape } = hostType(this.graph, port);
        return [port.name, { dtype, shape, data: own.results.get(port.name)!.data as Tensor['data'] }];
      }),
    );
  }

  async read(names: readonly string[] = [...this.slots.keys()]): Promise<Record<string, Tensor>> {
    return Object.fromEntries(names.map((name) => [name, this.fromDevice(slotNamed(this.slots, name))]));
  }

  async dispose(): Promise<void> {
    const { steps } = this;
    // A reference to the disposed program must not keep its state alive.
    this.slots.clear();
    this.steps = [];
    for (const { session } of steps) await session?.release();
  }

  private slotsOf(
    stages: readonly CompiledStage[],
    held: LoweredStages['held'],
    state: readonly StateSlot[],
  ): Map<string, Slot> {
    const slots = new Map<string, Slot>();
    for (const [{ input, output }, type] of stateTypes(this.graph, state)) {
      const { layout, shape } = held.get(input) ?? { layout: 'plain', shape: type.shape };
      const blank = () => this.blank(type, shape);
      const current = blank();
      const inPlace = stages.some(({ model }) => model.inPlace.has(input));
      const next = output === undefined ? undefined : inPlace ? current : blank();
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

async function compute({ session, refusesFirst, inputs, outputs }: Step, own: Own): Promise<void> {
  const found = inputs.map(([name, place]) => [name, place(own)]);
  const fetches: Record<string, Ort.Tensor | null> = refusesFirst ? { [noTensor]: null } : {};
  for (const [name, place] of outputs) fetches[outputName(name)] = place(own);
  await session
    ?.run(Object.fromEntries(found), fetches as Ort.InferenceSession.FetchesType)
    .catch((error: Error) => {
      if (!refusesNoTensor(error)) throw refusal(error);
    });
}

function feed(ort: typeof Ort, name: string, feeds: Tensors, type: HostType): Ort.Tensor {
  const value = feedNamed(feeds, name, type);
  return new ort.Tensor(type.dtype, value.data as Float32Array, [...type.shape]);
}
