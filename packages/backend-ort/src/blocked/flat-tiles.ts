/**
 * Arithmetic of large tensors with scalars, as an optimizer does it, on flattened tiles: a tensor times a scalar plus another
 * tensor is one depthwise convolution. ONNX Runtime's own ops with a scalar aren't vectorised (see docs/performance.md), and take two
 * passes.
 */
import { type Node, sameShape, sizeOf, type Tensor } from '@moco-ts/core';
import { elementwiseTypes } from '@moco-ts/onnx';
import { type Layout, tileShape } from './layout.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';

/** Lowers a node on flattened tiles if an operand is one already, or is a large value that meets a number. */
export function onTiles({ op, inputs, outputs }: Node, lowering: BlockedLowering): boolean {
  const output = outputs[0]!;
  const type = lowering.type(output);
  if (type.dtype !== 'float32' || tileShape(type.shape, lowering.block) === undefined) return false;
  const number = inputs.map((id) => sizeOf(lowering.shape(id)) === 1);
  if (!inputs.every((id, i) => number[i] || sameShape(lowering.shape(id), type.shape))) return false;
  const large = inputs.filter((_, i) => !number[i]);
  if (large.length === inputs.length && !large.some((id) => lowering.hasTile(id))) return false;
  const layout = large.map((id) => lowering.layoutOf(id)).find((held) => held !== 'plain') ?? 'plain';
  if (op === 'select') {
    const [condition, ...values] = inputs as [number, number, number];
    if (large.length < values.length) return false;
    const tiles = values.map((id) => lowering.tile(layout, id));
    lowering.setTile(layout, output, lowering.onnx.op('Where', [lowering.get(condition), ...tiles]));
    return true;
  }
  const [a, b] = inputs as [number, number | undefined];
  if (b !== undefined && number[1]) return withNumber(lowering, layout, op, a, b, output);
  if (b !== undefined && number[0])
    return (op === 'mul' || op === 'add') && withNumber(lowering, layout, op, b, a, output);
  lowering.setTile(layout, output, combined(lowering, layout, op, [a, b], output));
  return true;
}

function withNumber(
  lowering: BlockedLowering,
  layout: Layout,
  op: string,
  value: number,
  numberValue: number,
  output: number,
): boolean {
  const { onnx } = lowering;
  const number = lowering.get(numberValue);
  if (op === 'mul' || op === 'div') {
    const factor = op === 'mul' ? number : onnx.op('Reciprocal', [number]);
    const constant = op === 'mul' ? constantOf(lowering, numberValue) : undefined;
    lowering.deferScaled(output, { layout, value, factor, constant });
    return true;
  }
  if (op !== 'add' && op !== 'sub') return false;
  const term = op === 'add' ? number : onnx.op('Neg', [number]);
  const bias = lowering.once(`bias ${term}`, () =>
    onnx.op('Expand', [lowering.reshape(term, [1]), onnx.ints([lowering.block])]),
  );
  const ones = onnx.full([lowering.block, 1, 1, 1], 1);
  const options = { kernel_shape: [1, 1], group: lowering.block };
  lowering.setTile(
    layout,
    output,
    onnx.op('Conv', [lowering.tile(layout, value), ones, bias], options, nchwc),
  );
  return true;
}

function constantOf({ graph }: BlockedLowering, value: number): number | undefined {
  const node = graph.nodes.find(({ op, outputs }) => op === 'constant' && outputs[0] === value);
  return node && (node.attrs.tensor as Tensor).data[0];
}

/**
 * The EMA update m old + (1 - m) new, for a state's old value: old + (1 - m) (new - old)
 * ends in the buffer of the old one in two passes.
 */
function interpolated(
  lowering: BlockedLowering,
  layout: Layout,
  a: number,
  b: number,
  output: number,
): string | undefined {
  const old = lowering.replacedBy(output);
  const [first, second] = [lowering.takeScaled(a), lowering.takeScaled(b)];
  if (first?.layout !== layout || second?.layout !== layout) return undefined;
  const [kept, added] = first.value === old ? [first, second] : [second, first];
  if (kept.value !== old || Math.abs((kept.constant ?? 0) + (added.constant ?? 0) - 1) > 1e-7)
    return undefined;
  const from = lowering.tile(layout, kept.value);
  const way = lowering.onnx.op('Sub', [lowering.tile(layout, added.value), from]);
  return lowering.multiplyAdd(way, added.factor, from);
}

/** An op of one or two values of one shape. */
function combined(
  lowering: BlockedLowering,
  layout: Layout,
  op: string,
  [a, b]: readonly [number, number | undefined],
  output: number,
): string {
  const { onnx } = lowering;
  const between = op === 'add' && b !== undefined ? interpolated(lowering, layout, a, b, output) : undefined;
  if (between !== undefined) return between;
  if (b !== undefined && a !== b && (op === 'add' || op === 'sub')) {
    const turns =
      op === 'add'
        ? ([
            [b, a],
            [a, b],
          ] as const)
        : ([[b, a]] as const);
    for (const [value, addend] of turns) {
      // ONNX Runtime copies a summand that isn't overwritten with one thread: a separate product and sum are as fast.
      const old = lowering.replacedBy(output);
      const scaled = old === undefined || old === addend ? lowering.takeScaled(value) : undefined;
      if (scaled?.layout !== layout) continue;
      const factor = op === 'add' ? scaled.factor : onnx.op('Neg', [scaled.factor]);
      return lowering.scale({ ...scaled, factor }, lowering.tile(layout, addend));
    }
  }
  const names = (b === undefined ? [a] : [a, b]).map((id) => lowering.tile(layout, id));
  return onnx.op(elementwiseTypes[op]!, names);
}
