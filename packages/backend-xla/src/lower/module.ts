/** A graph as a StableHLO module, in text. */
import { BackendError, type Graph } from '@moco-ts/core';
import { conv } from './conv.ts';
import { elementwise } from './elementwise.ts';
import { Emitter, typeText, type Value } from './emitter.ts';
import { matmul } from './matmul.ts';
import { norm } from './norm.ts';
import type { Rules } from './rule.ts';
import { shape } from './shape.ts';

/** Every op's rule. */
export const rules: Rules = { ...elementwise, ...shape, ...matmul, ...conv, ...norm };

/**
 * The module's `main` takes the graph's inputs in the graph's order.
 * @param returned values of the graph
 * @param donated inputs by name, whose memory the first of the returned values take over, in this order: state that a step replaces
 * @throws BackendError naming the op and the node when an op has no rule
 */
export function lowerModule(graph: Graph, returned: readonly number[], donated: readonly string[]): string {
  const emit = new Emitter();
  const values = new Map<number, Value>();
  graph.inputs.forEach(({ value }, i) => {
    values.set(value, { ...graph.values[value]!, name: `%arg${i}` });
  });
  graph.nodes.forEach((node, position) => {
    const rule = rules[node.op];
    if (!rule)
      throw new BackendError(`xla has no lowering of the op "${node.op}" (node ${position})`, {
        code: 'backend-unsupported',
      });
    const types = node.outputs.map((id) => graph.values[id]!);
    const inputs = node.inputs.map((id) => values.get(id)!);
    const made = rule(emit, inputs, node.attrs, types);
    node.outputs.forEach((id, i) => {
      values.set(id, made[i]!);
    });
  });
  const results = returned.map((id) => values.get(id)!);
  const types = results.map(typeText).join(', ');
  const operands = results.length === 0 ? '' : ` ${results.map(({ name }) => name).join(', ')} : ${types}`;
  const parameters = graph.inputs.map(({ name, value }, i) => {
    const place = donated.indexOf(name);
    const aliasing = place < 0 ? '' : ` {tf.aliasing_output = ${place} : i32}`;
    return `%arg${i}: ${typeText(graph.values[value]!)}${aliasing}`;
  });
  return [
    'module @step {',
    `func.func public @main(${parameters.join(', ')}) -> (${types}) {`,
    ...emit.lines,
    `return${operands}`,
    '}',
    '}',
    '',
  ].join('\n');
}
