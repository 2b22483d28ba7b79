/** Rewrites of a graph that leave its meaning as it is. */
import type { Attribute, Graph, Node } from '../graph/graph.ts';
import { acrossReplicas } from '../graph/ops/collective.ts';
import { interpret } from '../reference/interpreter.ts';
import { allocate, isReduced, sizeOf, type Tensor } from '../tensor/tensor.ts';

export type Pass = (graph: Graph) => Graph;

/** Removes nodes that no output needs. Values keep their numbers. */
export const eliminateDeadCode: Pass = (graph) => {
  const needed = new Set(graph.outputs.map((port) => port.value));
  const nodes = [...graph.nodes].reverse().filter((node) => {
    if (!node.outputs.some((id) => needed.has(id))) return false;
    for (const id of node.inputs) needed.add(id);
    return true;
  });
  return { ...graph, nodes: nodes.reverse() };
};

/** Drops stopGradient, which says nothing to a program that is not differentiated any more. */
export const forgetGradientStops: Pass = (graph) => {
  const replaced = new Map<number, number>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((id) => replaced.get(id) ?? id);
    if (node.op === 'stopGradient') replaced.set(node.outputs[0]!, inputs[0]!);
    else nodes.push({ ...node, inputs });
  }
  return redirect({ ...graph, nodes }, replaced);
};

/** Computes equal nodes once. */
export const shareCommonSubexpressions: Pass = (graph) => {
  const replaced = new Map<number, number>();
  const seen = new Map<string, Node>();
  const nodes: Node[] = [];
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((id) => replaced.get(id) ?? id);
    const key = nodeKey(node, inputs);
    const twin = seen.get(key);
    if (twin) {
      node.outputs.forEach((id, i) => {
        replaced.set(id, twin.outputs[i]!);
      });
    } else {
      const kept = { ...node, inputs };
      seen.set(key, kept);
      nodes.push(kept);
    }
  }
  return redirect({ ...graph, nodes }, replaced);
};

/** Constants larger than this are compared by identity, not by content. */
const comparedElements = 64;

function nodeKey(node: Node, inputs: readonly number[]): string {
  const attrs = Object.entries(node.attrs).map(([name, value]) => `${name}=${attributeKey(node, value)}`);
  return `${node.op}(${inputs.join()})${attrs.sort().join(';')}`;
}

function attributeKey(node: Node, value: Attribute): string {
  if (typeof value !== 'object' || !('data' in value)) return JSON.stringify(value);
  if (sizeOf(value.shape) > comparedElements) return `#${node.outputs[0]}`;
  return `${value.dtype}[${value.shape.join()}]${[...value.data].map((x) => (Object.is(x, -0) ? '-0' : x)).join()}`;
}

/** Results larger than this stay computed at run time: a folded zero would only fill memory. */
const foldedElements = 1024;

/** Computes nodes whose inputs are all constant, in float64, rounded once. */
export const foldConstants: Pass = (graph) => {
  const constants = new Map<number, Tensor>();
  const nodes = graph.nodes.map((node) => {
    if (node.op === 'constant') {
      constants.set(node.outputs[0]!, node.attrs.tensor as Tensor);
      return node;
    }
    const output = node.outputs[0]!;
    const type = graph.values[output]!;
    const inputs = node.inputs.map((id) => constants.get(id));
    const foreign = node.outputs.length !== 1 || acrossReplicas.has(node.op);
    if (foreign || inputs.includes(undefined) || sizeOf(type.shape) > foldedElements) return node;
    const { dtype, shape } = type;
    if (isReduced(dtype)) return node;
    const result = allocate(dtype, sizeOf(shape));
    result.set(evaluate(graph, node, inputs as Tensor[]));
    const tensor: Tensor = { dtype, shape, data: result };
    constants.set(output, tensor);
    return { op: 'constant', inputs: [], outputs: [output], attrs: { tensor } };
  });
  return { ...graph, nodes };
};

function evaluate(graph: Graph, node: Node, inputs: readonly Tensor[]): Float64Array {
  const ports = [...new Set(node.inputs)].map((value) => ({ name: `${value}`, value }));
  const single: Graph = {
    values: graph.values,
    nodes: [node],
    inputs: ports,
    outputs: [{ name: 'result', value: node.outputs[0]! }],
  };
  const feeds = Object.fromEntries(node.inputs.map((id, i) => [`${id}`, inputs[i]!]));
  return interpret(single, feeds).result!.data;
}

function redirect(graph: Graph, replaced: ReadonlyMap<number, number>): Graph {
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: replaced.get(value) ?? value }));
  return { ...graph, outputs };
}

/** All passes, in the order in which one prepares the next. */
export function optimize(graph: Graph): Graph {
  const passes = [forgetGradientStops, foldConstants, shareCommonSubexpressions, eliminateDeadCode];
  return passes.reduce((current, pass) => pass(current), graph);
}
