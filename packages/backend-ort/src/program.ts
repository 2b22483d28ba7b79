/** One ONNX Runtime session with its state. */
import {
  allocate,
  BackendError,
  bytesOf,
  type CompileOptions,
  type Graph,
  type Program,
  type StateSlot,
  sameShape,
  sizeOf,
  type Tensor,
  type Tensors,
  type TensorType,
} from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import { blockFilter, type Layout, unblockFilter } from './blocked/layout.ts';
import { type LoweredModel, outputName } from './lower.ts';

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
  const typeOf = (ports: Graph['inputs'], name: string) => {
    const port = ports.find((candidate) => candidate.name === name);
    if (!port) throw new BackendError(`the graph has no port named "${name}" to hold state`);
    return graph.values[port.value]!;
  };
  const blank = (input: string, { dtype, shape }: TensorType) =>
    new ort.Tensor(dtype, allocate(dtype, sizeOf(shape)) as Float32Array, [
      ...(model.strips.get(input) ?? shape),
    ]);
  const slots = new Map<string, Slot>();
  for (const { input, output } of state) {
    const type = typeOf(graph.inputs, input);
    if (slots.has(input) || (output !== undefined && [...slots.values()].some((s) => s.output === output)))
      throw new BackendError(`the state "${input}" is named twice, or its output "${output}" is`);
    if (output !== undefined) expectType(`the output "${output}"`, typeOf(graph.outputs, output), type);
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
      const fetches: Record<string, Ort.Tensor | null> = {};
      for (const slot of slots.values()) {
        if (slot.missing) throw new BackendError(`the state "${slot.input}" ${slot.missing}`);
        inputs[slot.input] = slot.current;
        if (slot.output !== undefined) fetches[outputName(slot.output)] = slot.next!;
      }
      for (const { name, value } of feedPorts) inputs[name] = feed(ort, name, feeds, graph.values[value]!);
      for (const { name } of resultPorts) fetches[outputName(name)] = null;
      const results = await session
        .run(inputs, fetches as Ort.InferenceSession.FetchesType)
        .catch((error) => {
          // What was to be updated in place is half old and half new.
          for (const slot of slots.values())
            if (slot.next === slot.current) slot.missing = 'was lost by a step that failed; load it again';
          throw error;
        });
      for (const slot of slots.values()) if (slot.next) [slot.current, slot.next] = [slot.next, slot.current];
      return Object.fromEntries(
        resultPorts.map(({ name, value }) => [
          name,
          { ...graph.values[value]!, data: results[outputName(name)]!.data as Tensor['data'] },
        ]),
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

function expectType(what: string, value: TensorType, type: TensorType): void {
  if (value.dtype !== type.dtype || !sameShape(value.shape, type.shape))
    throw new BackendError(
      `${what} should be ${type.dtype} [${type.shape.join(', ')}], is ${value.dtype} [${value.shape.join(', ')}]`,
    );
}

function expectTensor(what: string, value: Tensor, type: TensorType): void {
  expectType(what, value, type);
  if (value.data.length !== sizeOf(type.shape))
    throw new BackendError(`${what} should have ${sizeOf(type.shape)} values, has ${value.data.length}`);
}

function feed(ort: typeof Ort, name: string, feeds: Tensors, type: TensorType): Ort.Tensor {
  const value = feeds[name];
  if (!value) throw new BackendError(`no value was given for the input "${name}"`);
  expectTensor(`the input "${name}"`, value, type);
  return new ort.Tensor(type.dtype, value.data as Float32Array, [...type.shape]);
}
