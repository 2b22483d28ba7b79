/** A graph, compiled by XLA. Its state stays on the device and is donated to each step, which writes the new one in its place. */
import {
  acrossReplicas,
  BackendError,
  type CompileOptions,
  expectReplicas,
  feedNamed,
  type Graph,
  type Program,
  partOf,
  say,
  settingRef,
  stateTypes,
  type Tensor,
  type Tensors,
  type TensorType,
} from '@moco-ts/core';
import { Downloads } from './downloads.ts';
import { Part } from './part.ts';
import { DeviceBuffer, type PjrtClient } from './pjrt/client.ts';
import { compileStages } from './staged.ts';
import { DeviceState } from './state.ts';

/**
 * @throws BackendError for state that doesn't fit, an op without a lowering, or other replicas than there are devices or than are joined,
 * PjrtError where XLA refuses the module
 */
export async function compileProgram(
  client: PjrtClient,
  graph: Graph,
  options: CompileOptions,
): Promise<Program> {
  if (options.communicator) {
    expectReplicas(graph, options.communicator);
    expectOneDevice(client, options.communicator.size);
    return compileStages(client, graph, options, options.communicator);
  }
  const replicas = replicasOf(graph, client);
  const state = new DeviceState(client, stateTypes(graph, options.state ?? []), replicas);
  return new XlaProgram(client, graph, await Part.compile(client, graph, options, replicas), state, replicas);
}

/** R of a graph: what has nothing between replicas runs on one device. */
function replicasOf(graph: Graph, { devices: { length } }: PjrtClient): number {
  if (length === 1) expectReplicas(graph, undefined);
  const replicas = graph.nodes.find(({ op }) => acrossReplicas.has(op))?.attrs.replicas ?? 1;
  if (replicas === 1 || replicas === length) return replicas;
  throw new BackendError(
    `the graph is of ${String(replicas)} replicas, each on a device, and ${length} devices compute`,
    { code: 'backend-unsupported' },
  );
}

function expectOneDevice({ devices: { length } }: PjrtClient, processes: number): void {
  if (length === 1 || processes === 1) return;
  throw new BackendError(
    say`replicas are the devices of one process, or processes with a device each: leave out ${settingRef('devices')}, or start one process in place of ${processes}`,
    { code: 'backend-unsupported' },
  );
}

class XlaProgram implements Program {
  readonly memory: Program['memory'];
  private readonly client: PjrtClient;
  private readonly graph: Graph;
  private readonly part: Part;
  private readonly held: DeviceState;
  private readonly replicas: number;
  private readonly downloads = new Downloads();

  constructor(client: PjrtClient, graph: Graph, part: Part, held: DeviceState, replicas: number) {
    this.client = client;
    this.graph = graph;
    this.part = part;
    this.held = held;
    this.replicas = replicas;
    this.memory = { stateBytes: held.bytes };
  }

  async load(values: Tensors): Promise<void> {
    this.held.load(values);
  }

  async run(feeds: Tensors): Promise<Record<string, Tensor>> {
    const results = this.start(feeds);
    try {
      return await this.downloads.all(results);
    } catch (error) {
      this.held.lose(error as Error);
      throw error;
    } finally {
      for (const [, result] of results) result.destroy();
    }
  }

  async read(names?: readonly string[]): Promise<Record<string, Tensor>> {
    return this.downloads.all(this.held.values(names));
  }

  async dispose(): Promise<void> {
    await this.downloads.settled();
    this.held.destroy();
    this.part.destroy();
  }

  /** Gives a run to the device and replaces the state. @returns the results, which the caller frees */
  private start(feeds: Tensors): (readonly [string, DeviceBuffer])[] {
    const given = this.graph.inputs.map(
      ({ name, value }) =>
        this.held.valueOf(name) ?? replicaFeeds(feeds, name, this.graph.values[value]!, this.replicas),
    );
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

  private execute(inputs: readonly DeviceBuffer[]): (readonly [string, DeviceBuffer])[] {
    try {
      const returned = this.part.run(inputs);
      return this.held.replace(this.part.outputs.map(({ name }, i) => [name, returned[i]!]));
    } catch (error) {
      this.held.lose(error as Error);
      throw error;
    }
  }
}

/** Each replica's feed of an input: its rows of one that has those of all, else the same. */
function replicaFeeds(feeds: Tensors, name: string, type: TensorType, replicas: number): Tensor[] {
  const feed = feeds[name];
  const parts = Array.from(
    { length: replicas },
    (_, replica) => feed && partOf(feed, type.shape, replica, replicas),
  );
  return parts.map((part) => feedNamed(part ? { [name]: part } : {}, name, type));
}
