/**
 * The oracle: runs a graph in float64, one node after the other, by each op's definition. Results of a reduced type are rounded
 * to it, each node's once.
 * Far too slow to train with; every backend and every gradient is tested against it.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { acrossReplicas } from '../graph/ops/collective.ts';
import { roundTo } from '../tensor/reduced.ts';
import { isReduced, sameShape, type TensorType } from '../tensor/tensor.ts';
import { collective } from './collective.ts';
import { elementwise } from './elementwise.ts';
import type { Kernel, Reference } from './kernel.ts';
import { linear } from './linear.ts';
import { norm } from './norm.ts';
import { shape } from './shape.ts';
import { transformer } from './transformer.ts';

const kernels: Readonly<Record<string, Kernel>> = {
  ...elementwise,
  ...shape,
  ...linear,
  ...norm,
  ...transformer,
};

/** The ops that the oracle can run, sorted. */
export function referenceOps(): string[] {
  return [...Object.keys(kernels), ...Object.keys(collective)].sort();
}

/** What {@link interpret} takes: values of any array type with the shape of the input. */
export interface Feed {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

type Feeds = Readonly<Record<string, Feed>>;
type Values = Map<number, Reference>;

/**
 * Runs a graph in float64.
 * @param feeds one for each input, by name
 * @returns the outputs by name
 * @throws RangeError when a feed is missing or of another shape, and where the graph is one of several replicas
 */
export function interpret(graph: Graph, feeds: Feeds): Record<string, Reference> {
  return interpretReplicas(graph, [feeds])[0]!;
}

/**
 * Runs R replicas of a graph in float64.
 * @param feeds of each replica, by name
 * @returns each replica's outputs by name
 * @throws RangeError when a feed is missing or of another shape, and for a graph of another number of replicas
 */
export function interpretReplicas(graph: Graph, feeds: readonly Feeds[]): Record<string, Reference>[] {
  const replicas = feeds.map((own) => fed(graph, own));
  for (const node of graph.nodes) {
    const given = replicas.map((values) => node.inputs.map((id) => values.get(id)!));
    const types = node.outputs.map((id) => graph.values[id]!);
    resultsOf(node, given, types).forEach((results, replica) => {
      node.outputs.forEach((id, i) => {
        const { shape, dtype } = types[i]!;
        const data = results[i]!;
        replicas[replica]!.set(id, { shape, data: isReduced(dtype) ? data.map(roundTo(dtype)) : data });
      });
    });
  }
  return replicas.map((values) =>
    Object.fromEntries(graph.outputs.map(({ name, value }) => [name, values.get(value)!])),
  );
}

function fed(graph: Graph, feeds: Feeds): Values {
  const values: Values = new Map();
  for (const { name, value } of graph.inputs) {
    const feed = feeds[name];
    if (!feed) throw new RangeError(`no value was given for the input "${name}"`);
    if (!sameShape(feed.shape, graph.values[value]!.shape))
      throw new RangeError(`the input "${name}" is of the shape [${feed.shape.join(', ')}]`);
    values.set(value, { shape: feed.shape, data: Float64Array.from(feed.data) });
  }
  return values;
}

/** A node's outputs on each replica. */
function resultsOf(
  { op, attrs }: Node,
  given: readonly (readonly Reference[])[],
  types: readonly TensorType[],
): (readonly Float64Array[])[] {
  if (acrossReplicas.has(op)) {
    if (attrs.replicas !== given.length)
      throw new RangeError(`${op} is of ${String(attrs.replicas)} replicas, ${given.length} run`);
    return collective[op]!(given);
  }
  const kernel = kernels[op];
  if (!kernel) throw new RangeError(`the oracle has no op named "${op}"`);
  return given.map((inputs) => kernel(inputs, attrs, types));
}
