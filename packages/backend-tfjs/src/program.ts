/** A graph, run node by node on tfjs kernels. */
import {
  BackendError,
  bytesOf,
  type CompileOptions,
  type Graph,
  type Program,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorType,
} from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { kernels } from './kernels/index.ts';
import { toDevice, toHost } from './tensors.ts';

interface Slot {
  readonly input: string;
  readonly output: string | undefined;
  readonly type: TensorType;
  value: tf.Tensor | undefined;
}

/** @param activate makes the program's device the one that tfjs computes on: it has one at a time */
export function createProgram(
  graph: Graph,
  { state = [] }: CompileOptions,
  activate: () => Promise<void>,
): Program {
  graph.nodes.forEach((node, position) => {
    if (!kernels[node.op])
      throw new BackendError(`tfjs has no lowering of the op "${node.op}" (node ${position})`);
  });
  const slots = slotsOf(graph, state);
  const feedPorts = graph.inputs.filter(({ name }) => !slots.has(name));
  const replaced = new Map([...slots.values()].map((slot) => [slot.output, slot]));
  const lastUse = lastUses(graph);

  const slotNamed = (name: string) => {
    const slot = slots.get(name);
    if (!slot) throw new BackendError(`the program has no state named "${name}"`);
    return slot;
  };
  const loaded = ({ input, value }: Slot) => {
    if (!value) throw new BackendError(`the state "${input}" was never loaded`);
    return value;
  };

  return {
    load: async (values) => {
      await activate();
      const checked = Object.entries(values).map(([name, value]) => {
        const slot = slotNamed(name);
        expectTensor(`the state "${name}"`, value, slot.type);
        return [slot, value] as const;
      });
      for (const [slot, value] of checked) {
        slot.value?.dispose();
        slot.value = toDevice(value);
      }
    },
    run: async (feeds) => {
      await activate();
      const values = new Map<number, tf.Tensor>();
      for (const { name, value } of graph.inputs) {
        const slot = slots.get(name);
        if (slot) values.set(value, loaded(slot));
      }
      for (const { name, value } of feedPorts) {
        const feed = feeds[name];
        if (!feed) throw new BackendError(`no value was given for the input "${name}"`);
        expectTensor(`the input "${name}"`, feed, graph.values[value]!);
      }
      for (const { name, value } of feedPorts) values.set(value, toDevice(feeds[name]!));
      const owned = new Set([...slots.values()].map(({ value }) => value!));
      try {
        runNodes(graph, values, lastUse, owned);
      } catch (error) {
        for (const value of values.values()) if (!owned.has(value)) value.dispose();
        throw error;
      }
      // No await until the state is replaced: another program may make its device the active one meanwhile.
      const outputs = graph.outputs.filter(({ name }) => !replaced.has(name));
      const results = outputs.map(({ value }) => tf.clone(values.get(value)!));
      replaceState(graph, slots, values);
      const copies = outputs.map(async ({ name, value }, i) => {
        return [name, await toHost(results[i]!, graph.values[value]!)] as const;
      });
      try {
        return Object.fromEntries(await Promise.all(copies));
      } finally {
        for (const result of results) result.dispose();
      }
    },
    read: async (names = [...slots.keys()]) => {
      await activate();
      const copies = names.map(async (name) => {
        const slot = slotNamed(name);
        return [name, await toHost(loaded(slot), slot.type)] as const;
      });
      return Object.fromEntries(await Promise.all(copies));
    },
    memory: {
      stateBytes: [...slots.values()].reduce(
        (total, { type }) => total + sizeOf(type.shape) * bytesOf(type.dtype),
        0,
      ),
    },
    dispose: async () => {
      for (const slot of slots.values()) slot.value?.dispose();
      slots.clear();
    },
  };
}

function slotsOf(graph: Graph, state: NonNullable<CompileOptions['state']>): Map<string, Slot> {
  const typeOf = (ports: Graph['inputs'], name: string) => {
    const port = ports.find((candidate) => candidate.name === name);
    if (!port) throw new BackendError(`the graph has no port named "${name}" to hold state`);
    return graph.values[port.value]!;
  };
  const slots = new Map<string, Slot>();
  for (const { input, output } of state) {
    const type = typeOf(graph.inputs, input);
    if (slots.has(input) || (output !== undefined && [...slots.values()].some((s) => s.output === output)))
      throw new BackendError(`the state "${input}" is named twice, or its output "${output}" is`);
    if (output !== undefined) expectType(`the output "${output}"`, typeOf(graph.outputs, output), type);
    slots.set(input, { input, output, type, value: undefined });
  }
  return slots;
}

/** For each node, the values that nothing reads after it. */
function lastUses(graph: Graph): ReadonlyMap<number, readonly number[]> {
  const last = new Map<number, number>();
  graph.nodes.forEach((node, position) => {
    for (const id of [...node.outputs, ...node.inputs]) last.set(id, position);
  });
  for (const { value } of graph.outputs) last.delete(value);
  const freed = new Map<number, number[]>();
  for (const [id, position] of last) freed.set(position, [...(freed.get(position) ?? []), id]);
  return freed;
}

function runNodes(
  graph: Graph,
  values: Map<number, tf.Tensor>,
  lastUse: ReadonlyMap<number, readonly number[]>,
  owned: ReadonlySet<tf.Tensor>,
): void {
  graph.nodes.forEach((node, position) => {
    const inputs = node.inputs.map((id) => values.get(id)!);
    const types = node.outputs.map((id) => graph.values[id]!);
    const made = tf.tidy(() => [kernels[node.op]!(inputs, node.attrs, types)].flat() as tf.Tensor[]);
    node.outputs.forEach((id, i) => {
      values.set(id, made[i]!);
    });
    for (const id of lastUse.get(position) ?? []) {
      const value = values.get(id)!;
      values.delete(id);
      if (!owned.has(value)) value.dispose();
    }
  });
}

/** Moves the new state into its slots and frees all else. */
function replaceState(
  graph: Graph,
  slots: ReadonlyMap<string, Slot>,
  values: ReadonlyMap<number, tf.Tensor>,
): void {
  const before = new Set([...slots.values()].map(({ value }) => value!));
  const made = new Map<string, tf.Tensor>();
  for (const { name, value } of graph.outputs) made.set(name, values.get(value)!);
  // Clones share memory and are counted: one value may be several states, or state and result.
  const next = [...slots.values()].map((slot) => {
    const value = slot.output === undefined ? undefined : made.get(slot.output);
    return [slot, value ? tf.clone(value) : undefined] as const;
  });
  for (const value of new Set(values.values())) if (!before.has(value)) value.dispose();
  for (const [slot, value] of next)
    if (value) {
      slot.value?.dispose();
      slot.value = value;
    }
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
