/**
 * State updated in its own buffer. The model's input and output of a state may be one piece of memory if nothing reads the
 * old value after its update began, which ONNX Runtime doesn't know: data dependencies have to enforce it.
 */
import type { Shape } from '@moco-ts/core';
import type { OnnxBuilder, OnnxNode } from '@moco-ts/onnx';

/** A state's place in the model. */
export interface Update {
  /** The input's name. */
  readonly input: string;
  /** The name of the new value. */
  readonly result: string;
  /** The shape of both. */
  readonly shape: Shape;
}

/** Ops that read an element of each operand and write the one at the same place. */
const elementwise: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where']);

/**
 * Decides which states can be updated in place, and adds to the model what keeps their readers before the update.
 * @returns the inputs that may share a buffer with their results
 */
export function updateInPlace(onnx: OnnxBuilder, updates: readonly Update[]): Set<string> {
  const made = new Map<string, number>();
  onnx.nodes.forEach(({ output }, position) => {
    for (const name of output) made.set(name, position);
  });
  // From the last on, so that what is added moves no node that is still to come.
  const placed = updates.flatMap((update) => {
    const position = made.get(update.result);
    return position === undefined ? [] : [{ update, position }];
  });
  placed.sort((a, b) => b.position - a.position);
  const granted = placed.filter(({ update, position }) => arrange(onnx, made, update, position));
  return new Set(granted.map(({ update }) => update.input));
}

function arrange(
  onnx: OnnxBuilder,
  made: ReadonlyMap<string, number>,
  { input, shape }: Update,
  position: number,
): boolean {
  const { nodes } = onnx;
  const { aliases, readers } = readersOf(nodes, input);
  if (!writesWhereItReads(nodes[position]!, aliases)) return false;
  const before = ancestors(nodes, made, position);
  const late = readers.filter((reader) => reader !== position && !before.has(reader));
  if (late.some((reader) => reader > position)) return false;
  const results = late.map((reader) => nodes[reader]!.output[0]!);
  // The first operand of a selection is its condition, of another shape.
  const operand = nodes[position]!.opType === 'Where' ? 1 : 0;
  if (late.length > 0) onnx.runAfter(position, shape, results, operand);
  return true;
}

/** Everything that reads a value's memory, through reshapes too, which read nothing themselves. */
function readersOf(nodes: readonly OnnxNode[], input: string): { aliases: Set<string>; readers: number[] } {
  const aliases = new Set([input]);
  const readers: number[] = [];
  nodes.forEach(({ opType, input: inputs, output }, position) => {
    if (!inputs.some((name) => aliases.has(name))) return;
    if (opType === 'Reshape' && aliases.has(inputs[0]!)) aliases.add(output[0]!);
    else readers.push(position);
  });
  return { aliases, readers };
}

function writesWhereItReads({ opType, input }: OnnxNode, aliases: ReadonlySet<string>): boolean {
  if (elementwise.has(opType)) return true;
  // What isn't scattered to stays as it is.
  if (opType === 'ScatterElements')
    return aliases.has(input[0]!) && !input.slice(1).some((name) => aliases.has(name));
  // The sum of a convolution is its output's starting value; its other operands are read again and again.
  return opType === 'Conv' && input.length === 4 && !input.slice(0, 3).some((name) => aliases.has(name));
}

/** The nodes that a node's operands come from. */
function ancestors(
  nodes: readonly OnnxNode[],
  made: ReadonlyMap<string, number>,
  position: number,
): Set<number> {
  const seen = new Set<number>();
  const open = [position];
  while (open.length > 0)
    for (const name of nodes[open.pop()!]!.input) {
      const maker = made.get(name);
      if (maker === undefined || seen.has(maker)) continue;
      seen.add(maker);
      open.push(maker);
    }
  return seen;
}
