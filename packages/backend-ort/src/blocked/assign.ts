/** Decides which values of a graph live in the blocked filter layout: weights, and all that is computed alike with them. */
import { type Graph, type Node, type StateSlot, sameShape, sizeOf } from '@moco-ts/core';
import { fitsFilter } from './layout.ts';

/** Ops whose same-shaped operands and result may be in any layout, as long as it is the same one. */
export const elementwiseOps: ReadonlySet<string> = new Set([
  'neg',
  'exp',
  'log',
  'sqrt',
  'tanh',
  'abs',
  'erf',
  'relu',
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'reluGrad',
]);

/** Whether a node computes in any layout: a selection only where one value decides on all elements. */
export function isElementwise({ op, inputs }: Node, { values }: Graph): boolean {
  return elementwiseOps.has(op) || (op === 'select' && sizeOf(values[inputs[0]!]!.shape) === 1);
}

/**
 * The values to store as blocked filters: filters of dense convolutions, and everything tied to them by elementwise
 * ops or as state (momenta, the key encoder's weights), so that an optimizer's update never converts.
 */
export function filterValues(graph: Graph, state: readonly StateSlot[], block: number): Set<number> {
  const parent = graph.values.map((_, id) => id);
  const root = (id: number): number => {
    let at = id;
    while (parent[at] !== at) at = parent[at]!;
    parent[id] = at;
    return at;
  };
  const unite = (a: number, b: number) => {
    parent[root(a)] = root(b);
  };
  const shapeOf = (id: number) => graph.values[id]!.shape;

  for (const node of graph.nodes) {
    // Sums of replicas are of values in whatever layout, each in its own.
    if (node.op === 'allReduce')
      for (const [i, output] of node.outputs.entries()) unite(node.inputs[i]!, output);
    if (!isElementwise(node, graph)) continue;
    const output = node.outputs[0]!;
    for (const input of node.inputs) if (sameShape(shapeOf(input), shapeOf(output))) unite(input, output);
  }
  for (const { input, output } of state) {
    const from = graph.inputs.find((port) => port.name === input);
    const to = graph.outputs.find((port) => port.name === output);
    if (from && to) unite(from.value, to.value);
  }
  const filters = new Set<number>();
  for (const node of graph.nodes) {
    const filter = filterOf(node);
    if (filter !== undefined && node.attrs.groups === 1 && fitsFilter(shapeOf(filter), block))
      filters.add(root(filter));
  }
  return new Set(graph.values.flatMap((_, id) => (filters.has(root(id)) ? [id] : [])));
}

function filterOf(node: Node): number | undefined {
  if (node.op === 'conv2d' || node.op === 'conv2dInputGrad') return node.inputs[1];
  return node.op === 'conv2dFilterGrad' ? node.outputs[0] : undefined;
}
