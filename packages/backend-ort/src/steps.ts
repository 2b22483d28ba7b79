/** What the stages of a program take and give: state, feeds, results, and what goes from one to the next or between replicas. */
import {
  allocate,
  bytesOf,
  type Communicator,
  type CompileOptions,
  cutAtCollectives,
  expectReplicas,
  type Graph,
  type HostType,
  hostType,
  type Stage,
  type StateSlot,
  sizeOf,
  type Tensor,
} from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import type { Layout } from './blocked/layout.ts';
import type { LoweredModel } from './lower.ts';

/** A stage with its model, and the session of that: none where there is nothing to compute. */
export interface CompiledStage {
  readonly stage: Stage;
  readonly model: LoweredModel;
  readonly session: Ort.InferenceSession | undefined;
}

/**
 * A state input's two buffers: one is read by the step, the other written, then they change roles. They are one and the
 * same where the model updates in place.
 */
export interface Slot extends StateSlot {
  readonly type: HostType;
  readonly layout: Layout;
  current: Ort.Tensor;
  /** Missing for state that no step changes. */
  next: Ort.Tensor | undefined;
  /** Why there is no value, if there is none. */
  missing: string | undefined;
}

/** What one run has of its own, by name. */
export interface Own {
  readonly feeds: ReadonlyMap<string, Ort.Tensor>;
  readonly results: ReadonlyMap<string, Ort.Tensor>;
}

/** Where a run finds a tensor. */
type Place = (own: Own) => Ort.Tensor;
type Values = Tensor['data'];

/** A stage that can run. */
export interface Step {
  readonly session: Ort.InferenceSession | undefined;
  readonly refusesFirst: boolean;
  readonly inputs: readonly (readonly [name: string, place: Place])[];
  readonly outputs: readonly (readonly [name: string, place: Place])[];
  /** The state that it replaces in its own buffer. */
  readonly overwritten: readonly Slot[];
  /** What replicas do behind it. */
  exchange(own: Own): Promise<void>;
}

/**
 * The stages of a graph. Feeds that are gathered are taken from where they are: no model has them.
 * @throws BackendError where the communicator doesn't join the graph's replicas
 */
export function cut(graph: Graph, { state = [], communicator }: CompileOptions): Stage[] {
  expectReplicas(graph, communicator);
  const held = new Set(state.map(({ input }) => input));
  const fed = new Set(graph.inputs.flatMap(({ name, value }) => (held.has(name) ? [] : [value])));
  return cutAtCollectives(graph, communicator?.rank ?? 0).map((stage) => {
    const taken = new Set(stage.gathers.flatMap(({ from }) => (fed.has(from.value) ? [from.name] : [])));
    if (taken.size === 0) return stage;
    const outputs = stage.graph.outputs.filter(({ name }) => !taken.has(name));
    return { ...stage, graph: { ...stage.graph, outputs } };
  });
}

/** Whether there is anything to compute in a stage. */
export function computes({ graph }: Stage): boolean {
  return graph.outputs.length > 0;
}

/** Memory between stages, which stays from run to run, by the names of its values and of what is summed or gathered. */
interface Buffers {
  readonly named: ReadonlyMap<string, Values>;
  readonly bytes: number;
}

/** What is summed in one exchange lies in one piece; all else takes the memory of what no later stage reads. */
function allocateBuffers({ values }: Graph, stages: readonly Stage[]): Buffers {
  const named = new Map<string, Values>();
  const free = new Map<string, Values[]>();
  const last = new Map<string, number>();
  stages.forEach(({ graph }, at) => {
    for (const { name } of graph.inputs) last.set(name, at);
  });
  let bytes = 0;
  const take = (key: string, { dtype, shape }: HostType) => {
    const known = free.get(key)?.pop();
    if (known) return known;
    bytes += sizeOf(shape) * bytesOf(dtype);
    return allocate(dtype, sizeOf(shape));
  };
  let inUse: { name: string; key: string }[] = [];
  stages.forEach(({ graph, carried, sums, gathers }, at) => {
    const given = new Set(graph.outputs.map(({ name }) => name));
    const sources = gathers.flatMap(({ from }) => (given.has(from.name) ? [from] : []));
    for (const { name, value } of [...carried, ...sources, ...gathers.map(({ to }) => to)]) {
      const type = values[value] as HostType;
      const key = `${type.dtype} ${sizeOf(type.shape)}`;
      named.set(name, take(key, type));
      inUse.push({ name, key });
    }
    const sizes = sums.map(({ to }) => sizeOf(values[to.value]!.shape));
    const flat = new Float32Array(sizes.reduce((all, size) => all + size, 0));
    bytes += flat.byteLength;
    let from = 0;
    for (const [i, sum] of sums.entries()) {
      const view = flat.subarray(from, from + sizes[i]!);
      from += view.length;
      named.set(sum.from.name, view).set(sum.to.name, view);
    }
    for (const { name, key } of inUse.filter((buffer) => (last.get(buffer.name) ?? at) <= at))
      free.set(key, [...(free.get(key) ?? []), named.get(name)!]);
    inUse = inUse.filter((buffer) => (last.get(buffer.name) ?? at) > at);
  });
  return { named, bytes };
}

/** Makes the steps of a program. @returns them, and the bytes that lie between them */
export function stepsOf(
  ort: typeof Ort,
  graph: Graph,
  compiled: readonly CompiledStage[],
  slots: ReadonlyMap<string, Slot>,
  communicator: Communicator | undefined,
): { readonly steps: readonly Step[]; readonly bytes: number } {
  const { named, bytes } = allocateBuffers(
    graph,
    compiled.map(({ stage }) => stage),
  );
  const owned = new Map(
    graph.inputs.map(({ name, value }): [number, Place] => {
      const slot = slots.get(name);
      return [value, slot ? () => slot.current : ({ feeds }) => feeds.get(name)!];
    }),
  );
  const replacing = new Map([...slots.values()].map((slot) => [slot.output, slot]));
  const tensorOf = (name: string, { dtype, shape }: HostType, as = shape): Place => {
    const tensor = new ort.Tensor(dtype, named.get(name) as Float32Array, [...as]);
    return () => tensor;
  };
  const steps = compiled.map(({ stage, model, session }): Step => {
    const overwritten: Slot[] = [];
    const inputs = stage.graph.inputs.map((port) => {
      const place =
        owned.get(port.value) ?? tensorOf(port.name, hostType(graph, port), model.inputs.get(port.name));
      return [port.name, place] as const;
    });
    const outputs = stage.graph.outputs.map((port) => {
      const { name } = port;
      if (named.has(name))
        return [name, tensorOf(name, hostType(graph, port), model.outputs.get(name))] as const;
      const slot = replacing.get(name);
      if (slot && slot.next === slot.current) overwritten.push(slot);
      const place: Place = slot ? () => slot.next! : ({ results }) => results.get(name)!;
      // Where a value is both, later stages take it as state.
      if (slot || !owned.has(port.value)) owned.set(port.value, place);
      return [name, place] as const;
    });
    const summed = stage.sums.map(({ from }) => named.get(from.name) as Float32Array);
    const gathered = stage.gathers.map(({ from, to }) => ({
      from: named.get(from.name) ?? owned.get(from.value)!,
      to: named.get(to.name)!,
    }));
    const exchange = async (own: Own) => {
      if (summed.length > 0) await communicator!.allReduce(summed);
      for (const { from, to } of gathered)
        await communicator!.allGather(typeof from === 'function' ? (from(own).data as Values) : from, to);
    };
    return { session, refusesFirst: model.refusesFirst, inputs, outputs, overwritten, exchange };
  });
  return { steps, bytes };
}
