/**
 * A replica whose others are programs of their own, in other processes: the graph in stages, cut where replicas meet. What they sum and
 * gather comes to the host, goes through the communicator, and back; all else that stages share stays on the device.
 */
import {
  allocate,
  type Communicator,
  type CompileOptions,
  cutAtCollectives,
  type Exchanged,
  feedNamed,
  type Graph,
  type Program,
  type Shape,
  type Stage,
  type StateSlot,
  sizeOf,
  stateTypes,
  type Tensor,
  type Tensors,
} from '@moco-ts/core';
import { arrived, Downloads } from './downloads.ts';
import { Part } from './part.ts';
import type { DeviceBuffer, PjrtClient } from './pjrt/client.ts';
import { DeviceState } from './state.ts';

interface Step {
  /** None where a stage has nothing to compute. */
  readonly part: Part | undefined;
  readonly sums: readonly Summed[];
  readonly gathers: readonly Exchanged[];
  /** The outputs that are summed or gathered: freed then, they are nobody else's. */
  readonly exchanged: ReadonlySet<string>;
  /** The values that neither a later stage reads nor the graph gives. */
  readonly last: readonly number[];
}

/** A value that is summed behind a stage, in memory of the host that stays from run to run. */
interface Summed {
  /** The output of the stage. */
  readonly from: string;
  readonly to: number;
  readonly shape: Shape;
  readonly view: Float32Array;
}

/** @throws BackendError for state that doesn't fit or an op without a lowering, PjrtError where XLA refuses a module */
export async function compileStages(
  client: PjrtClient,
  graph: Graph,
  options: CompileOptions,
  communicator: Communicator,
): Promise<Program> {
  const { state = [] } = options;
  const held = new DeviceState(client, stateTypes(graph, state), 1);
  const stages = cutAtCollectives(graph, communicator.rank);
  const names = new Set(state.map(({ input }) => input));
  const fed = new Set(graph.inputs.flatMap(({ name, value }) => (names.has(name) ? [] : [value])));
  const steps: Step[] = [];
  try {
    for (const [i, stage] of stages.entries()) {
      const later = stages.slice(i + 1);
      const own = onDevice(stage, fed);
      const donated = donatedState(state, own, later);
      const part =
        own.outputs.length > 0 && (await Part.compile(client, own, { ...options, state: donated }, 1));
      const { gathers } = stage;
      steps.push({
        part: part || undefined,
        sums: inOnePiece(stage),
        gathers,
        exchanged: new Set([...stage.sums, ...gathers].map(({ from }) => from.name)),
        last: lastRead(graph, stage, later),
      });
    }
  } catch (error) {
    for (const { part } of steps) part?.destroy();
    throw error;
  }
  return new StagedProgram(client, graph, steps, held, communicator);
}

/** What is summed in one exchange lies together. */
function inOnePiece({ graph, sums }: Stage): Summed[] {
  const shapes = sums.map(({ from }) => graph.values[from.value]!.shape);
  const flat = new Float32Array(shapes.reduce((total, shape) => total + sizeOf(shape), 0));
  let end = 0;
  return sums.map(({ from, to }, i) => {
    const start = end;
    end += sizeOf(shapes[i]!);
    return { from: from.name, to: to.value, shape: shapes[i]!, view: flat.subarray(start, end) };
  });
}

/** The part of a stage that the device computes: what is gathered as it was given needs none. */
function onDevice({ graph, gathers }: Stage, fed: ReadonlySet<number>): Graph {
  const taken = new Set(gathers.flatMap(({ from }) => (fed.has(from.value) ? [from.name] : [])));
  if (taken.size === 0) return graph;
  const outputs = graph.outputs.filter(({ name }) => !taken.has(name));
  const read = new Set([
    ...graph.nodes.flatMap(({ inputs }) => inputs),
    ...outputs.map(({ value }) => value),
  ]);
  return { ...graph, outputs, inputs: graph.inputs.filter(({ value }) => read.has(value)) };
}

/** The state that a stage may write over: it replaces it, and no later one reads what it was. */
function donatedState(state: readonly StateSlot[], graph: Graph, later: readonly Stage[]): StateSlot[] {
  const names = (ports: Graph['inputs']) => new Set(ports.map(({ name }) => name));
  const [given, made] = [names(graph.inputs), names(graph.outputs)];
  const needed = names(later.flatMap((stage) => stage.graph.inputs));
  return state.filter(
    ({ input, output }) => output !== undefined && given.has(input) && made.has(output) && !needed.has(input),
  );
}

function lastRead({ outputs }: Graph, { graph }: Stage, later: readonly Stage[]): number[] {
  const needed = new Set(
    [...outputs, ...later.flatMap((stage) => stage.graph.inputs)].map(({ value }) => value),
  );
  return [...graph.inputs, ...graph.outputs].map(({ value }) => value).filter((value) => !needed.has(value));
}

class StagedProgram implements Program {
  readonly memory: Program['memory'];
  private readonly client: PjrtClient;
  private readonly graph: Graph;
  private readonly steps: readonly Step[];
  private readonly held: DeviceState;
  private readonly communicator: Communicator;
  private readonly downloads = new Downloads();
  /** What was called, ended: all replicas exchange in one order. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    client: PjrtClient,
    graph: Graph,
    steps: readonly Step[],
    held: DeviceState,
    communicator: Communicator,
  ) {
    this.client = client;
    this.graph = graph;
    this.steps = steps;
    this.held = held;
    this.communicator = communicator;
    const summed = steps.flatMap(({ sums }) => sums.map(({ view }) => view.byteLength));
    this.memory = { stateBytes: summed.reduce((total, bytes) => total + bytes, held.bytes) };
  }

  load(values: Tensors): Promise<void> {
    return this.inTurn(async () => this.held.load(values));
  }

  run(feeds: Tensors): Promise<Record<string, Tensor>> {
    return this.inTurn(async () => {
      const given = this.graph.inputs.flatMap(({ name, value }) =>
        this.held.valueOf(name) ? [] : [[value, feedNamed(feeds, name, this.graph.values[value]!)] as const],
      );
      const run = new Run(this.client, this.held, this.communicator, new Map(given));
      try {
        for (const step of this.steps) await run.next(step);
        return await this.downloads.all(run.replaceState(this.graph.outputs.map(({ name }) => name)));
      } catch (error) {
        this.held.lose(error as Error);
        throw error;
      } finally {
        run.free();
      }
    });
  }

  read(names?: readonly string[]): Promise<Record<string, Tensor>> {
    return this.inTurn(async () => this.downloads.all(this.held.values(names)));
  }

  async dispose(): Promise<void> {
    await this.turn.catch(() => {});
    this.held.destroy();
    for (const { part } of this.steps) part?.destroy();
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.turn.catch(() => {}).then(act);
    this.turn = done;
    return done;
  }
}

/** One run: what is on the device besides state, by value and by the name of an output. */
class Run {
  private readonly client: PjrtClient;
  private readonly held: DeviceState;
  private readonly communicator: Communicator;
  private readonly feeds: ReadonlyMap<number, Tensor>;
  private readonly values = new Map<number, DeviceBuffer>();
  private readonly named = new Map<string, DeviceBuffer>();
  private readonly owned = new Set<DeviceBuffer>();

  constructor(
    client: PjrtClient,
    held: DeviceState,
    communicator: Communicator,
    feeds: ReadonlyMap<number, Tensor>,
  ) {
    this.client = client;
    this.held = held;
    this.communicator = communicator;
    this.feeds = feeds;
  }

  /** Computes a stage, and does what replicas do behind it. */
  async next({ part, sums, gathers, exchanged, last }: Step): Promise<void> {
    if (part) this.compute(part, exchanged);
    if (sums.length > 0) await this.sum(sums);
    for (const gathered of gathers) await this.gather(gathered);
    for (const value of last) this.drop(this.values.get(value));
  }

  /** @param names of the graph's outputs @returns those that replace no state */
  replaceState(names: readonly string[]): (readonly [string, DeviceBuffer])[] {
    const made = names.map((name) => [name, this.named.get(name)!] as const);
    const results = this.held.replace(made);
    const left = new Set(results.map(([, buffer]) => buffer));
    for (const [, buffer] of made) if (!left.has(buffer)) this.owned.delete(buffer);
    return results;
  }

  free(): void {
    for (const buffer of this.owned) buffer.destroy();
  }

  private compute(part: Part, exchanged: ReadonlySet<string>): void {
    const inputs = part.inputs.map(
      ({ name, value }) =>
        this.held.valueOf(name) ?? this.values.get(value) ?? this.upload(value, this.feeds.get(value)!),
    );
    const returned = part.run(inputs);
    part.outputs.forEach(({ name, value }, i) => {
      const buffer = returned[i]!;
      this.owned.add(buffer);
      this.named.set(name, buffer);
      if (!exchanged.has(name)) this.values.set(value, buffer);
    });
  }

  private async sum(sums: readonly Summed[]): Promise<void> {
    await arrived(sums.map(({ from, view }) => this.named.get(from)!.download(view)));
    for (const { from } of sums) this.drop(this.named.get(from));
    await this.communicator.allReduce(sums.map(({ view }) => view));
    for (const { to, view, shape } of sums) this.upload(to, { shape, dtype: 'float32', data: view });
  }

  private async gather({ from, to }: Exchanged): Promise<void> {
    const made = this.named.get(from.name);
    const { data, shape, dtype } = made ? await made.download()() : this.feeds.get(from.value)!;
    this.drop(made);
    const { size } = this.communicator;
    const all = allocate(dtype, data.length * size);
    await this.communicator.allGather(data, all);
    this.upload(to.value, { shape: [shape[0]! * size, ...shape.slice(1)], dtype, data: all });
  }

  private upload(value: number, tensor: Tensor): DeviceBuffer {
    const buffer = this.client.upload([tensor]);
    this.owned.add(buffer);
    this.values.set(value, buffer);
    return buffer;
  }

  private drop(buffer: DeviceBuffer | undefined): void {
    buffer?.destroy();
    if (buffer) this.owned.delete(buffer);
  }
}
