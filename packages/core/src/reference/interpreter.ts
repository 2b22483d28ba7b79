/**
 * The oracle: runs a graph in float64, one node after the other, by each op's definition. Results of a reduced type are rounded
 * to it, each node's once.
 * Far too slow to train with; every backend and every gradient is tested against it.
 */
import type { Graph } from '../graph/graph.ts';
import { roundTo } from '../tensor/reduced.ts';
import { isReduced, sameShape } from '../tensor/tensor.ts';
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
  return Object.keys(kernels).sort();
}

/** What {@link interpret} takes: values of any array type with the shape of the input. */
export interface Feed {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/**
 * Runs a graph in float64.
 * @param feeds one for each input, by name
 * @returns the outputs by name
 * @throws RangeError when a feed is missing or of another shape
 */
export function interpret(graph: Graph, feeds: Readonly<Record<string, Feed>>): Record<string, Reference> {
  const values = new Map<number, Reference>();
  for (const { name, value } of graph.inputs) {
    const feed = feeds[name];
    if (!feed) throw new RangeError(`no value was given for the input "${name}"`);
    if (!sameShape(feed.shape, graph.values[value]!.shape))
      throw new RangeError(`the input "${name}" is of the shape [${feed.shape.join(', ')}]`);
    values.set(value, { shape: feed.shape, data: Float64Array.from(feed.data) });
  }
  for (const node of graph.nodes) {
    const kernel = kernels[node.op];
    if (!kernel) throw new RangeError(`the oracle has no op named "${node.op}"`);
    const types = node.outputs.map((id) => graph.values[id]!);
    const results = kernel(
      node.inputs.map((id) => values.get(id)!),
      node.attrs,
      types,
    );
    node.outputs.forEach((id, i) => {
      const { shape, dtype } = types[i]!;
      const data = results[i]!;
      values.set(id, { shape, data: isReduced(dtype) ? data.map(roundTo(dtype)) : data });
    });
  }
  return Object.fromEntries(graph.outputs.map(({ name, value }) => [name, values.get(value)!]));
}
