/** A graph as a StableHLO module, in text. */
import { expectLowerings, type Graph, isReduced, type TensorType } from '@moco-ts/core';
import { collective } from './collective.ts';
import { conv } from './conv.ts';
import { elementwise } from './elementwise.ts';
import { Emitter, type ProductPrecision, typeText, type Value } from './emitter.ts';
import { matmul } from './matmul.ts';
import { norm } from './norm.ts';
import type { Rule, Rules } from './rule.ts';
import { shape } from './shape.ts';

/** Every op's rule. */
export const rules: Rules = { ...elementwise, ...shape, ...matmul, ...conv, ...norm, ...collective };

/** Ops whose rules take operands of a reduced type as they are: products, whose sums are float32, and what moves data. */
const reduced: ReadonlySet<string> = new Set([
  ...[
    'conv2d',
    'conv2dInputGrad',
    'conv2dFilterGrad',
    'matmul',
    'softmaxMatmul',
    'maxPool2d',
    'maxPool2dGrad',
  ],
  ...['cast', 'reshape', 'transpose', 'broadcastTo', 'slice', 'pad', 'concat', 'split', 'gather', 'barrier'],
]);

/** A rule that computes in float32, and rounds its results to a reduced type once. */
function inFloat32(rule: Rule): Rule {
  const wide = (type: TensorType): TensorType =>
    isReduced(type.dtype) ? { ...type, dtype: 'float32' } : type;
  return (emit, inputs, attrs, types) => {
    const operands = inputs.map((input) => emit.convert(input, wide(input).dtype));
    return rule(emit, operands, attrs, types.map(wide)).map((value, i) =>
      emit.convert(value, types[i]!.dtype),
    );
  };
}

/**
 * The module's `main` takes the graph's inputs in the graph's order.
 * @param returned values of the graph
 * @param donated inputs by name, whose memory the first of the returned values take over, in this order: state that a step replaces
 * @throws BackendError naming the op and the node when an op has no rule
 */
export function lowerModule(
  graph: Graph,
  returned: readonly number[],
  donated: readonly string[],
  precision?: ProductPrecision,
): string {
  expectLowerings('xla', rules, graph, true);
  const emit = new Emitter(precision);
  const values = new Map<number, Value>();
  graph.inputs.forEach(({ value }, i) => {
    values.set(value, { ...graph.values[value]!, name: `%arg${i}` });
  });
  for (const node of graph.nodes) {
    const rule = rules[node.op]!;
    const types = node.outputs.map((id) => graph.values[id]!);
    const inputs = node.inputs.map((id) => values.get(id)!);
    const made = reduced.has(node.op)
      ? rule(emit, inputs, node.attrs, types)
      : inFloat32(rule)(emit, inputs, node.attrs, types);
    node.outputs.forEach((id, i) => {
      values.set(id, made[i]!);
    });
  }
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
