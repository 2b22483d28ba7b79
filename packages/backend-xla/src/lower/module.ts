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

/** The order of a module's results. */
export interface ModuleResults {
  /** Values that replace state, one for each slot that has an output, in the slots' order. */
  readonly state: readonly number[];
  /** The other outputs, in the graph's order. */
  readonly outputs: readonly number[];
}

/**
 * The module's `main` takes the graph's inputs in the graph's order. State that a step replaces is donated: the new value takes
 * the old one's memory.
 * @param donated inputs by name, one for each of the results' state values
 * @throws BackendError naming the op and the node when an op has no rule
 */
export function lowerModule(graph: Graph, results: ModuleResults, donated: readonly string[]): string {
  const emit = new Emitter();
  const values = new Map<number, Value>();
  graph.inputs.forEach(({ value }, i) => {
    values.set(value, { ...graph.values[value]!, name: `%arg${i}` });
  });
  graph.nodes.forEach((node, position) => {
    const rule = rules[node.op];
    if (!rule) throw new BackendError(`xla has no lowering of the op "${node.op}" (node ${position})`);
    const types = node.outputs.map((id) => graph.values[id]!);
    const inputs = node.inputs.map((id) => values.get(id)!);
    const made = rule(emit, inputs, node.attrs, types);
    node.outputs.forEach((id, i) => {
      values.set(id, made[i]!);
    });
  });
  const returned = [...results.state, ...results.outputs].map((id) => values.get(id)!);
  const types = returned.map(typeText).join(', ');
  const operands = returned.length === 0 ? '' : ` ${returned.map(({ name }) => name).join(', ')} : ${types}`;
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
