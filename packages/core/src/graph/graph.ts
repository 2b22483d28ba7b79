import type { HostType, Tensor, TensorType } from '../tensor/tensor.ts';

/** Attributes of a node: plain data. A constant's tensor is the only large one. */
export type Attribute = number | string | boolean | readonly number[] | Tensor;
export type Attributes = Readonly<Record<string, Attribute>>;

/** One operation. Inputs and outputs are indices into {@link Graph.values}. */
export interface Node {
  readonly op: string;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly attrs: Attributes;
}

/** A value's place at the border of a graph. */
export interface Port {
  readonly name: string;
  readonly value: number;
}

/**
 * A pure function as data: nodes in topological order, each value assigned once.
 * Everything that runs, differentiates or exports a computation reads this.
 */
export interface Graph {
  readonly values: readonly TensorType[];
  readonly nodes: readonly Node[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

/** For each value, the node that makes it; nothing for a graph input. */
export function producers(graph: Graph): ReadonlyMap<number, Node> {
  const made = new Map<number, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) made.set(output, node);
  return made;
}

/** For each value, the nodes that read it (a node once, even if it reads the value twice). */
export function consumers(graph: Graph): ReadonlyMap<number, readonly Node[]> {
  const read = new Map<number, Node[]>();
  for (const node of graph.nodes)
    for (const input of new Set(node.inputs)) {
      const list = read.get(input);
      if (list) list.push(node);
      else read.set(input, [node]);
    }
  return read;
}

/** The input or output of a name. Throws RangeError when there is none. */
export function portNamed(ports: readonly Port[], name: string): Port {
  const port = ports.find((candidate) => candidate.name === name);
  if (!port) throw new RangeError(`the graph has no port named "${name}"`);
  return port;
}

/** The type of the input or output of a name. Throws RangeError when there is none. */
export function portType(graph: Graph, ports: readonly Port[], name: string): HostType {
  return hostType(graph, portNamed(ports, name));
}

/** The type of an input or output, which is one that hosts have: `GraphBuilder` takes no others. */
export function hostType(graph: Graph, { value }: Port): HostType {
  return graph.values[value] as HostType;
}
