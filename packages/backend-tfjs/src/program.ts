/** A graph, run node by node on tfjs kernels. */
import {
  asReplica,
  BackendError,
  bytesOf,
  type CompileOptions,
  checkedState,
  collectives,
  expectLowerings,
  expectReplicas,
  feedNamed,
  type Graph,
  type HostType,
  hostType,
  type Node,
  type Port,
  type Program,
  resultPorts,
  type StateSlot,
  sizeOf,
  slotNamed,
  stateTypes,
  type Tensor,
  type Tensors,
} from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { channelsLast } from './channels-last.ts';
import { type Exchange, exchangeOf } from './exchange.ts';
import { kernels } from './kernels/index.ts';
import { toDevice, toHost } from './tensors.ts';

interface Slot {
  readonly input: string;
  readonly output: string | undefined;
  readonly type: HostType;
  value: tf.Tensor | undefined;
}

/**
 * @param activate makes the program's device the one that tfjs computes on: it has one at a time
 * @param layout of maps between the kernels
 * @throws BackendError for an op without a kernel
 */
export function createProgram(
  graph: Graph,
  { state = [], communicator }: CompileOptions,
  activate: () => Promise<void>,
  layout: 'as given' | 'channels last' = 'as given',
): Program {
  expectReplicas(graph, communicator);
  const own = communicator ? asReplica(graph, communicator.rank) : graph;
  expectLowerings('tfjs', { ...kernels, ...Object.fromEntries([...collectives].map((op) => [op, op])) }, own);
  const arranged = layout === 'channels last' ? channelsLast(own) : own;
  const exchange = communicator && exchangeOf(arranged, communicator);
  return new TfjsProgram(arranged, state, activate, exchange);
}

class TfjsProgram implements Program {
  readonly memory: Program['memory'];
  private readonly graph: Graph;
  private readonly activate: () => Promise<void>;
  private readonly exchange: Exchange | undefined;
  /** Where replicas meet: positions of nodes. */
  private readonly meetings: readonly number[];
  private readonly slots: Map<string, Slot>;
  private readonly feedPorts: readonly Port[];
  private readonly resultPorts: readonly Port[];
  private readonly lastUse: ReadonlyMap<number, readonly number[]>;
  /** Kernels are given to the device in the order of the calls; results may come when the next ones are given already. */
  private issued: Promise<void> = Promise.resolve();

  constructor(
    graph: Graph,
    state: readonly StateSlot[],
    activate: () => Promise<void>,
    exchange: Exchange | undefined,
  ) {
    this.graph = graph;
    this.activate = activate;
    this.exchange = exchange;
    this.meetings = graph.nodes.flatMap(({ op }, position) => (collectives.has(op) ? [position] : []));
    this.slots = slotsOf(graph, state);
    this.feedPorts = graph.inputs.filter(({ name }) => !this.slots.has(name));
    this.resultPorts = resultPorts(graph, state);
    this.lastUse = lastUses(graph);
    this.memory = {
      stateBytes: [...this.slots.values()].reduce(
        (total, { type }) => total + sizeOf(type.shape) * bytesOf(type.dtype),
        0,
      ),
    };
  }

  async load(values: Tensors): Promise<void> {
    await this.issued;
    await this.activate();
    for (const [slot, value] of checkedState(this.slots, values)) {
      slot.value?.dispose();
      slot.value = toDevice(value);
    }
  }

  async run(feeds: Tensors): Promise<Record<string, Tensor>> {
    const before = this.issued;
    let giveWay = () => {};
    this.issued = new Promise((resolve) => {
      giveWay = resolve;
    });
    await before;
    const results = await this.issue(feeds).finally(giveWay);
    return results();
  }

  async read(names: readonly string[] = [...this.slots.keys()]): Promise<Record<string, Tensor>> {
    await this.issued;
    await this.activate();
    const copies = names.map(async (name) => {
      const slot = slotNamed(this.slots, name);
      // The next run may replace the slot's value before this one has come.
      const held = tf.clone(loaded(slot));
      try {
        return [name, await toHost(held, slot.type)] as const;
      } finally {
        held.dispose();
      }
    });
    return Object.fromEntries(await Promise.all(copies));
  }

  async dispose(): Promise<void> {
    await this.issued;
    for (const slot of this.slots.values()) slot.value?.dispose();
    this.slots.clear();
  }

  /** Gives all kernels of a run to the device and replaces the state. @returns what waits for the results */
  private async issue(feeds: Tensors): Promise<() => Promise<Record<string, Tensor>>> {
    await this.activate();
    const { graph, slots } = this;
    const values = new Map<number, tf.Tensor>();
    for (const { name, value } of graph.inputs) {
      const slot = slots.get(name);
      if (slot) values.set(value, loaded(slot));
    }
    const fed = this.feedPorts.map(
      ({ name, value }) => [value, feedNamed(feeds, name, graph.values[value]!)] as const,
    );
    for (const [value, feed] of fed) values.set(value, toDevice(feed));
    const owned = new Set([...slots.values()].map(({ value }) => value!));
    const compute = (from: number, to: number) => runNodes(graph, values, this.lastUse, owned, from, to);
    let from = 0;
    try {
      for (const position of this.meetings) {
        compute(from, position);
        const node = graph.nodes[position]!;
        const inputs = node.inputs.map((id) => values.get(id)!);
        const arrived = await this.exchange!(node, inputs);
        await this.activate();
        setResults(node, arrived(), position, values, this.lastUse, owned);
        from = position + 1;
      }
      compute(from, graph.nodes.length);
    } catch (error) {
      for (const value of values.values()) if (!owned.has(value)) value.dispose();
      throw error;
    }
    // No await until the state is replaced: another program may make its device the active one meanwhile.
    const results = this.resultPorts.map(({ value }) => tf.clone(values.get(value)!));
    replaceState(graph, slots, values);
    const copies = this.resultPorts.map(async (port, i) => {
      return [port.name, await toHost(results[i]!, hostType(graph, port))] as const;
    });
    return async () => {
      try {
        return Object.fromEntries(await Promise.all(copies));
      } finally {
        for (const result of results) result.dispose();
      }
    };
  }
}

function loaded({ input, value }: Slot): tf.Tensor {
  if (!value) throw new BackendError(`the state "${input}" was never loaded`);
  return value;
}

function slotsOf(graph: Graph, state: readonly StateSlot[]): Map<string, Slot> {
  return new Map(
    stateTypes(graph, state).map(([{ input, output }, type]) => [
      input,
      { input, output, type, value: undefined },
    ]),
  );
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

/** Runs the nodes from a position up to another. */
function runNodes(
  graph: Graph,
  values: Map<number, tf.Tensor>,
  lastUse: ReadonlyMap<number, readonly number[]>,
  owned: ReadonlySet<tf.Tensor>,
  from: number,
  to: number,
): void {
  for (let position = from; position < to; position++) {
    const node = graph.nodes[position]!;
    const inputs = node.inputs.map((id) => values.get(id)!);
    const types = node.outputs.map((id) => graph.values[id]!);
    const made = tf.tidy(() => [kernels[node.op]!(inputs, node.attrs, types)].flat() as tf.Tensor[]);
    setResults(node, made, position, values, lastUse, owned);
  }
}

/** Keeps what a node made, and frees what nothing reads any more. */
function setResults(
  { outputs }: Node,
  made: readonly tf.Tensor[],
  position: number,
  values: Map<number, tf.Tensor>,
  lastUse: ReadonlyMap<number, readonly number[]>,
  owned: ReadonlySet<tf.Tensor>,
): void {
  outputs.forEach((id, i) => {
    values.set(id, made[i]!);
  });
  for (const id of lastUse.get(position) ?? []) {
    const value = values.get(id)!;
    values.delete(id);
    if (!owned.has(value)) value.dispose();
  }
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
