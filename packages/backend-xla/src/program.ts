/** A graph, compiled by XLA. Its state stays on the device and is donated to each step, which writes the new one in its place. */
import {
  acrossReplicas,
  BackendError,
  bytesOf,
  type CompileOptions,
  checkedState,
  feedNamed,
  type Graph,
  type HostType,
  hostType,
  isReduced,
  type Port,
  type Program,
  sameShape,
  sizeOf,
  slotNamed,
  type Tensor,
  type Tensors,
  type TensorType,
} from '@moco-ts/core';
import { moduleOf } from './module-of.ts';
import { DeviceBuffer, type Executable, type PjrtClient } from './pjrt/client.ts';
import type { CompileFlags } from './pjrt/options.ts';

/** Feature maps of a reduced type are kept in it: otherwise XLA leaves out the rounding of what it has in float32. */
const roundingFlags: CompileFlags = { xla_allow_excess_precision: false };

interface Slot {
  readonly input: string;
  readonly output: string | undefined;
  readonly type: HostType;
  value: DeviceBuffer | undefined;
}

/**
 * @throws BackendError for state that doesn't fit, an op without a lowering, or other replicas than there are devices, PjrtError where
 * XLA refuses the module
 */
export async function compileProgram(
  client: PjrtClient,
  graph: Graph,
  options: CompileOptions,
): Promise<Program> {
  const { text, slots, results } = moduleOf(graph, options);
  const own = slots.map(([{ input, output }, type]): Slot => ({ input, output, type, value: undefined }));
  const rounds = graph.values.some(({ dtype }) => isReduced(dtype));
  const replicas = replicasOf(graph, client);
  const executable = await client.compile(text, replicas, rounds ? roundingFlags : {});
  return new XlaProgram(client, executable, replicas, graph, own, results);
}

/** R of a graph: what has nothing between replicas runs on one device. */
function replicasOf({ nodes }: Graph, { devices: { length } }: PjrtClient): number {
  const replicas = nodes.find(({ op }) => acrossReplicas.has(op))?.attrs.replicas ?? 1;
  if (replicas === 1 || replicas === length) return replicas;
  throw new BackendError(
    `the graph is of ${String(replicas)} replicas, each on a device, and ${length === 1 ? 'one device computes' : `${length} devices compute`}`,
  );
}

class XlaProgram implements Program {
  readonly memory: Program['memory'];
  private readonly client: PjrtClient;
  private readonly executable: Executable;
  private readonly replicas: number;
  private readonly graph: Graph;
  private readonly slots: Map<string, Slot>;
  /** The slots that a run replaces, in the order of the module's first results. */
  private readonly replaced: readonly Slot[];
  private readonly results: readonly Port[];
  private readonly returned: readonly HostType[];
  /** Why there is no state, where a run has lost it. */
  private lost: Error | undefined;
  /** Waits follow each other, since each takes a thread of the few that Node has. */
  private waiting: Promise<unknown> = Promise.resolve();

  constructor(
    client: PjrtClient,
    executable: Executable,
    replicas: number,
    graph: Graph,
    slots: readonly Slot[],
    results: readonly Port[],
  ) {
    this.client = client;
    this.executable = executable;
    this.replicas = replicas;
    this.graph = graph;
    this.results = results;
    this.slots = new Map(slots.map((slot) => [slot.input, slot]));
    this.replaced = slots.filter(({ output }) => output !== undefined);
    this.returned = [
      ...this.replaced.map(({ type }) => type),
      ...results.map((port) => hostType(graph, port)),
    ];
    this.memory = {
      stateBytes: slots.reduce((total, { type }) => total + sizeOf(type.shape) * bytesOf(type.dtype), 0),
    };
  }

  async load(values: Tensors): Promise<void> {
    for (const [slot, value] of checkedState(this.slots, values)) {
      const before = slot.value;
      slot.value = this.client.upload(Array(this.replicas).fill(value));
      before?.destroy();
    }
    if ([...this.slots.values()].every(({ value }) => value)) this.lost = undefined;
  }

  async run(feeds: Tensors): Promise<Record<string, Tensor>> {
    const results = this.start(feeds);
    try {
      return await this.downloaded(this.results.map(({ name }, i) => [name, results[i]!]));
    } catch (error) {
      this.lose(error as Error);
      throw error;
    } finally {
      for (const result of results) result.destroy();
    }
  }

  async read(names: readonly string[] = [...this.slots.keys()]): Promise<Record<string, Tensor>> {
    return this.downloaded(names.map((name) => [name, this.loaded(slotNamed(this.slots, name))]));
  }

  async dispose(): Promise<void> {
    await this.waiting.catch(() => {});
    for (const slot of this.slots.values()) slot.value?.destroy();
    this.slots.clear();
    this.executable.destroy();
  }

  /** Gives a run to the device and replaces the state. @returns the results, which the caller frees */
  private start(feeds: Tensors): DeviceBuffer[] {
    const given = this.graph.inputs.map(({ name, value }) => {
      const slot = this.slots.get(name);
      return slot ? this.loaded(slot) : replicaFeeds(feeds, name, this.graph.values[value]!, this.replicas);
    });
    const uploaded: DeviceBuffer[] = [];
    try {
      const inputs = given.map((input) => {
        if (input instanceof DeviceBuffer) return input;
        const buffer = this.client.upload(input);
        uploaded.push(buffer);
        return buffer;
      });
      return this.execute(inputs);
    } finally {
      for (const buffer of uploaded) buffer.destroy();
    }
  }

  private execute(inputs: readonly DeviceBuffer[]): DeviceBuffer[] {
    let returned: DeviceBuffer[];
    try {
      returned = this.executable.execute(inputs, this.returned);
    } catch (error) {
      this.lose(error as Error);
      throw error;
    }
    this.replaced.forEach((slot, i) => {
      // The old buffer's memory is the new one's by now: what is freed is its handle.
      slot.value!.destroy();
      slot.value = returned[i]!;
    });
    return returned.slice(this.replaced.length);
  }

  private async downloaded(
    buffers: readonly (readonly [string, DeviceBuffer])[],
  ): Promise<Record<string, Tensor>> {
    // All copies begin now, before a later run takes the memory.
    const copies = buffers.map(([name, buffer]) => [name, buffer.download()] as const);
    const done = this.waiting
      .catch(() => {})
      .then(async () => {
        const tensors: Record<string, Tensor> = {};
        let failure: unknown;
        for (const [name, arrived] of copies) {
          try {
            tensors[name] = await arrived();
          } catch (error) {
            failure ??= error;
          }
        }
        if (failure !== undefined) throw failure;
        return tensors;
      });
    this.waiting = done;
    return done;
  }

  /** A failed run leaves nothing in what it was given to write over. */
  private lose(error: Error): void {
    this.lost = error;
    for (const slot of this.replaced) {
      slot.value?.destroy();
      slot.value = undefined;
    }
  }

  private loaded({ input, value }: Slot): DeviceBuffer {
    if (value) return value;
    if (this.lost)
      throw new BackendError(`the state "${input}" was lost by a run that failed: ${this.lost.message}`);
    throw new BackendError(`the state "${input}" was never loaded`);
  }
}

/** Each replica's feed of an input: its rows of one that has those of all, else the same. */
function replicaFeeds(feeds: Tensors, name: string, type: TensorType, replicas: number): Tensor[] {
  const given = feeds[name];
  const [count = 0, ...rest] = type.shape;
  const all = { ...type, shape: [count * replicas, ...rest] };
  const same = Array.from({ length: replicas }, () => undefined);
  if (replicas === 1 || !given || !sameShape(given.shape, all.shape))
    return same.map(() => feedNamed(feeds, name, type));
  const { data } = feedNamed(feeds, name, all);
  const size = sizeOf(type.shape);
  return same.map((_, replica) => ({
    shape: type.shape,
    dtype: given.dtype,
    data: data.subarray(replica * size, (replica + 1) * size),
  }));
}
