/** One ONNX Runtime session with its state. */
import {
  allocate,
  BackendError,
  bytesOf,
  type CompileOptions,
  expectTensor,
  feedNamed,
  type Graph,
  type Program,
  type Shape,
  type StateSlot,
  sizeOf,
  stateTypes,
  type Tensor,
  type Tensors,
  type TensorType,
} from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import { blockFilter, type Layout, unblockFilter } from './blocked/layout.ts';
import { givesState, type LoweredModel, noTensor, outputName } from './lower.ts';

/**
 * A state input's two buffers: one is read by the step, the other written, then they change roles. They are one and the
 * same where the model updates in place.
 */
interface Slot extends StateSlot {
  readonly type: TensorType;
  readonly layout: Layout;
  current: Ort.Tensor;
  /** Missing for state that no step changes. */
  next: Ort.Tensor | undefined;
  /** Why there is no value, if there is none. */
  missing: string | undefined;
}

export async function createProgram(
  ort: typeof Ort,
  graph: Graph,
  model: LoweredModel,
  session: Ort.InferenceSession,
  { state = [] }: CompileOptions,
  block: number,
): Promise<Program> {
  const blankOf = ({ dtype, shape }: TensorType, dims: Shape) =>
    new ort.Tensor(dtype, allocate(dtype, sizeOf(shape)) as Float32Array, [...dims]);
  const blank = (input: string, type: TensorType) => blankOf(type, model.strips.get(input) ?? type.shape);
  const slots = new Map<string, Slot>();
  for (const [{ input, output }, type] of stateTypes(graph, state)) {
    const layout = model.layouts.get(input) ?? 'plain';
    const current = blank(input, type);
    const inPlace = model.inPlace.has(input);
    const next = output === undefined ? undefined : inPlace ? current : blank(input, type);
    const slot = { input, type, layout, current, next, missing: 'was never loaded' };
    slots.set(input, output === undefined ? slot : { ...slot, output });
  }
  const feedPorts = graph.inputs.filter(({ name }) => !slots.has(name));
  const stateOutputs = new Set([...slots.values()].map(({ output }) => output));
  const resultPorts = graph.outputs.filter(({ name }) => !stateOutputs.has(name));

  const toDevice = ({ layout, type }: Slot, { data }: Tensor) =>
    layout === 'filter' ? blockFilter(data as Float32Array, type.shape, block) : data;
  const fromDevice = ({ input, layout, type, current, missing }: Slot): Tensor => {
    if (missing) throw new BackendError(`the state "${input}" ${missing}`);
    const data = current.data as Float32Array;
    const copy = layout === 'filter' ? unblockFilter(data, type.shape, block) : data.slice();
    return { ...type, data: copy };
  };
  const slotNamed = (name: string) => {
    const slot = slots.get(name);
    if (!slot) throw new BackendError(`the program has no state named "${name}"`);
    return slot;
  };

  return {
    load: async (values) => {
      const checked = Object.entries(values).map(([name, value]) => {
        const slot = slotNamed(name);
        expectTensor(`the state "${name}"`, value, slot.type);
        return [slot, value] as const;
      });
      for (const [slot, value] of checked) {
        (slot.current.data as Float32Array).set(toDevice(slot, value) as Float32Array);
        slot.missing = undefined;
      }
    },
    run: async (feeds) => {
      const inputs: Record<string, Ort.Tensor> = {};
      const fetches: Record<string, Ort.Tensor | null> = givesState(state) ? { [noTensor]: null } : {};
      const results: Record<string, Ort.Tensor> = {};
      for (const slot of slots.values()) {
        if (slot.missing) throw new BackendError(`the state "${slot.input}" ${slot.missing}`);
        inputs[slot.input] = slot.current;
        if (slot.output !== undefined) fetches[outputName(slot.output)] = slot.next!;
      }
      for (const { name, value } of feedPorts) inputs[name] = feed(ort, name, feeds, graph.values[value]!);
      for (const { name, value } of resultPorts) {
        const type = graph.values[value]!;
        results[name] = blankOf(type, type.shape);
        fetches[outputName(name)] = results[name];
      }
      await session.run(inputs, fetches as Ort.InferenceSession.FetchesType).catch((error: Error) => {
        if (isOfNoTensor(error)) return;
        // What was to be updated in place is half old and half new.
        for (const slot of slots.values())
          if (slot.next === slot.current) slot.missing = 'was lost by a step that failed; load it again';
        throw error;
      });
      for (const slot of slots.values()) if (slot.next) [slot.current, slot.next] = [slot.next, slot.current];
      return Object.fromEntries(
        resultPorts.map(({ name, value }) => {
          const { dtype, shape } = graph.values[value]!;
          return [name, { dtype, shape, data: results[name]!.data as Tensor['data'] }];
        }),
      );
    },
    read: async (names = [...slots.keys()]) =>
      Object.fromEntries(names.map((name) => [name, fromDevice(slotNamed(name))])),
    memory: {
      stateBytes: [...slots.values()].reduce(
        (total, { type, current, next }) =>
          total + sizeOf(type.shape) * bytesOf(type.dtype) * (next && next !== current ? 2 : 1),
        0,
      ),
    },
    dispose: async () => {
      // Whoever keeps the program does not keep its state.
      slots.clear();
      await session.release();
    },
  };
}

/** Whether a step was computed to its end, and only its first output refused: see {@link noTensor}. */
function isOfNoTensor({ message }: Error): boolean {
  return message.startsWith('Non tensor type');
}

function feed(ort: typeof Ort, name: string, feeds: Tensors, type: TensorType): Ort.Tensor {
  const value = feedNamed(feeds, name, type);
  return new ort.Tensor(type.dtype, value.data as Float32Array, [...type.shape]);
}
