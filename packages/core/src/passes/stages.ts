/** Cuts a graph of several replicas where they meet, for engines that run a graph at once. */
import type { Communicator } from '../communicator.ts';
import { BackendError } from '../errors.ts';
import type { Graph, Node, Port } from '../graph/graph.ts';
import { acrossReplicas, collectives } from '../graph/ops/collective.ts';
import { tensor } from '../tensor/tensor.ts';
import { eliminateDeadCode, foldConstants } from './passes.ts';

/** One value on its way between replicas. */
export interface Exchanged {
  /** The output of the stage that goes in. */
  readonly from: Port;
  /** What comes out: the input of later stages. */
  readonly to: Port;
}

/**
 * A part of a graph that needs no other replica. Its values have the graph's numbers: an input that is none of the graph's is an output
 * of an earlier stage, or comes from an exchange, of the same value.
 */
export interface Stage {
  readonly graph: Graph;
  /** The outputs that only later stages read; outputs of the graph may be read by them as well. */
  readonly carried: readonly Port[];
  /** What is summed behind the stage, all in one exchange. */
  readonly sums: readonly Exchanged[];
  /** What is gathered behind it, one after the other. */
  readonly gathers: readonly Exchanged[];
}

/** @throws BackendError unless a communicator joins as many replicas as a graph is of; one without ops between them is of any number */
export function expectReplicas(graph: Graph, communicator: Communicator | undefined): void {
  const node = graph.nodes.find(({ op }) => acrossReplicas.has(op));
  if (!node || node.attrs.replicas === communicator?.size) return;
  throw new BackendError(
    `the graph is of ${String(node.attrs.replicas)} replicas, ${communicator ? `and ${communicator.size} are joined` : 'which nothing joins here'}`,
    { code: 'backend-unsupported' },
  );
}

/** The graph as one replica has it: its number is a constant. */
export function asReplica(graph: Graph, rank: number): Graph {
  if (!graph.nodes.some(({ op }) => op === 'replicaIndex')) return graph;
  const nodes = graph.nodes.map((node): Node => {
    if (node.op !== 'replicaIndex') return node;
    return {
      op: 'constant',
      inputs: [],
      outputs: node.outputs,
      attrs: { tensor: tensor([rank], [], 'int32') },
    };
  });
  return foldConstants({ ...graph, nodes });
}

/**
 * The stages of a graph, in order, as few as its collectives allow. Each node is in the last stage that it can be in, so that little
 * is carried from one to the next; constants are in all stages that read them.
 * @param rank the replica's number
 */
export function cutAtCollectives(graph: Graph, rank: number): Stage[] {
  if (!graph.nodes.some(({ op }) => acrossReplicas.has(op)))
    return [{ graph, carried: [], sums: [], gathers: [] }];
  return new Cut(eliminateDeadCode(asReplica(graph, rank))).stages();
}

const carriedPort = (value: number): Port => ({ name: `value.${value}`, value });

class Cut {
  private readonly graph: Graph;
  private readonly count: number;
  /** For each node the stage that it is in, or behind which it exchanges; constants have none. */
  private readonly stageOf = new Map<Node, number>();
  /** Values that stages before make, and nobody else. */
  private readonly madeIn = new Map<number, number>();

  constructor(graph: Graph) {
    this.graph = graph;
    /** By value, the exchanges that have to come after the stage that makes it. */
    const after = new Map(graph.outputs.map(({ value }) => [value, 0]));
    const exchanges = new Map<Node, number>();
    for (const node of [...graph.nodes].reverse()) {
      const own = Math.max(...node.outputs.map((id) => after.get(id) ?? 0));
      exchanges.set(node, own);
      const before = collectives.has(node.op) ? own + 1 : own;
      for (const id of node.inputs) after.set(id, Math.max(before, after.get(id) ?? 0));
    }
    const met = graph.nodes.filter(({ op }) => collectives.has(op));
    this.count = 1 + Math.max(0, ...met.map((node) => exchanges.get(node)! + 1));
    for (const [node, own] of exchanges) {
      if (node.op === 'constant') continue;
      const stage = this.count - 1 - own - (collectives.has(node.op) ? 1 : 0);
      this.stageOf.set(node, stage);
      if (!collectives.has(node.op)) for (const id of node.outputs) this.madeIn.set(id, stage);
    }
  }

  stages(): Stage[] {
    const exchanged = Array.from({ length: this.count }, (_, stage) => ({
      sums: this.exchanged(stage, 'allReduce'),
      gathers: this.exchanged(stage, 'allGather'),
    }));
    const outputs = exchanged.map(({ sums, gathers }, stage) => [
      ...this.graph.outputs.filter(({ value }) => (this.madeIn.get(value) ?? this.count - 1) === stage),
      ...[...sums, ...gathers].map(({ from }) => from),
    ]);
    const read = outputs.map((ports) => new Set(ports.map(({ value }) => value)));
    for (const node of this.graph.nodes) {
      const stage = this.stageOf.get(node);
      if (stage !== undefined && !collectives.has(node.op))
        for (const id of node.inputs) read[stage]!.add(id);
    }
    return exchanged.map(({ sums, gathers }, stage) => {
      const given = new Set(this.graph.outputs.map(({ value }) => value));
      const carried = this.carried(stage, read).filter(({ value }) => !given.has(value));
      const graph = this.part(stage, read[stage]!, [...outputs[stage]!, ...carried]);
      return { graph, carried, sums, gathers };
    });
  }

  private exchanged(stage: number, op: string): Exchanged[] {
    const met = this.graph.nodes.filter((node) => node.op === op && this.stageOf.get(node) === stage);
    return met.flatMap(({ inputs, outputs }) =>
      outputs.map((value, i) => ({
        from: { name: `into.${value}`, value: inputs[i]! },
        to: carriedPort(value),
      })),
    );
  }

  /** What a stage makes and later ones read. */
  private carried(stage: number, read: readonly ReadonlySet<number>[]): Port[] {
    const later = new Set(read.slice(stage + 1).flatMap((values) => [...values]));
    return [...later].filter((value) => this.madeIn.get(value) === stage).map(carriedPort);
  }

  private part(stage: number, read: ReadonlySet<number>, outputs: readonly Port[]): Graph {
    const { values, nodes, inputs } = this.graph;
    const own = nodes.filter((node) =>
      node.op === 'constant'
        ? read.has(node.outputs[0]!)
        : this.stageOf.get(node) === stage && !collectives.has(node.op),
    );
    const known = new Set([...own.flatMap((node) => node.outputs), ...inputs.map(({ value }) => value)]);
    const carried = [...read].filter((value) => !known.has(value));
    return {
      values,
      nodes: own,
      inputs: [...inputs.filter(({ value }) => read.has(value)), ...carried.map(carriedPort)],
      outputs,
    };
  }
}
