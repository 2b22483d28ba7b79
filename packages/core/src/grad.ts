/** Reverse-mode differentiation: reads the nodes of a graph and appends those of its gradient. */
import { ShapeError } from './errors.ts';
import { type Graph, portNamed } from './graph/graph.ts';
import { opNamed } from './graph/op.ts';
import { add } from './graph/ops/elementwise.ts';
import { GraphBuilder, Traced } from './graph/trace.ts';
import { Recomputation } from './recomputation.ts';
import { describe, filled, isFloat, scalar, sizeOf } from './tensor/tensor.ts';

/**
 * The gradients of a scalar by some values, as new nodes of the same graph.
 * Nothing is computed for values that the loss doesn't reach: their gradient is a constant zero.
 * Where blocks were marked ({@link GraphBuilder.endBlock}), what they computed inside is computed again instead of kept.
 * @param loss float32 with one element
 * @throws ShapeError when the loss or one of the values is not of a float type, when the loss is no scalar, and when its
 * path crosses an op, or a cast to a type without gradients, that can't be differentiated
 */
export function gradients(loss: Traced, by: readonly Traced[]): Traced[] {
  const { builder } = loss;
  if (sizeOf(loss.shape) !== 1) throw new ShapeError(`a loss is a scalar, not [${loss.shape.join(', ')}]`);
  for (const value of [loss, ...by])
    if (!isFloat(value.dtype)) throw new ShapeError(`there is no gradient of or by ${describe(value)}`);
  const nodes = [...builder.nodes];
  const active = reachable(builder, by);
  const upstream = new Map<number, Traced>([
    [loss.id, builder.constant(loss.shape.length === 0 ? scalar(1) : filled(loss.shape, 1))],
  ]);
  const recomputation = new Recomputation(builder, nodes, active, by);

  for (const node of nodes.reverse()) {
    const dOutputs = node.outputs.map((id) => upstream.get(id));
    const needs = node.inputs.map((id) => active.has(id));
    if (!needs.includes(true) || dOutputs.every((gradient) => gradient === undefined)) continue;
    const op = opNamed(node.op);
    if (op.gradient === 'none') continue;
    if (!op.grad) throw new ShapeError(`${node.op} can't be differentiated: put stopGradient before it`);
    const after = dOutputs.find((gradient) => gradient !== undefined)!;
    const read = (id: number) => recomputation.read(node, id, after);
    const inputs = node.inputs.map(read);
    const outputs = node.outputs.map(read);
    const dInputs = op.grad({ inputs, outputs, dOutputs, attrs: node.attrs, needs });
    dInputs.forEach((gradient, i) => {
      if (!needs[i]) return;
      const id = node.inputs[i]!;
      // What is left out here would be missing from the sum, and nothing would tell.
      if (!gradient || !isFloat(inputs[i]!.dtype))
        throw new ShapeError(
          `${node.op} has no gradient by its input ${i}, ${describe(inputs[i]!)}: put stopGradient before it`,
        );
      const sum = upstream.get(id);
      upstream.set(id, sum ? add(sum, gradient) : gradient);
    });
  }
  return by.map((value) => upstream.get(value.id) ?? builder.constant(filled(value.shape, 0)));
}

/** The values that depend on any of `sources` along paths that carry a gradient. */
function reachable(builder: GraphBuilder, sources: readonly Traced[]): Set<number> {
  const active = new Set(sources.map((value) => value.id));
  for (const node of builder.nodes)
    if (opNamed(node.op).gradient !== 'none' && node.inputs.some((id) => active.has(id)))
      for (const output of node.outputs) active.add(output);
  return active;
}

/**
 * A graph extended by the gradients of one of its outputs.
 * @param loss the name of a scalar output
 * @param by names of inputs; the gradient by `name` becomes the output `grad.name`
 */
export function grad(graph: Graph, loss: string, by: readonly string[]): Graph {
  const builder = new GraphBuilder();
  // One by one: as arguments of one call, those of a large graph may overflow the stack.
  for (const value of graph.values) builder.values.push(value);
  for (const node of graph.nodes) builder.nodes.push(node);
  for (const port of graph.inputs) builder.inputs.push(port);
  for (const port of graph.outputs) builder.outputs.push(port);
  const find = (ports: Graph['inputs'], name: string) => new Traced(builder, portNamed(ports, name).value);
  const derivatives = gradients(
    find(graph.outputs, loss),
    by.map((name) => find(graph.inputs, name)),
  );
  by.forEach((name, i) => {
    builder.output(`grad.${name}`, derivatives[i]!);
  });
  return builder.graph();
}
