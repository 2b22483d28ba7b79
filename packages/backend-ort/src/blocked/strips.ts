/**
 * Arithmetic of large values with single numbers, as an optimizer does it: a value times a number plus another value is one
 * depthwise convolution. ONNX Runtime's own ops with a scalar aren't vectorised (see docs/performance.md), and take two
 * passes.
 */
import { type Node, sameShape, sizeOf } from '@moco-ts/core';
import { elementwiseTypes } from '@moco-ts/onnx';
import { type Layout, stripShape } from './layout.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';

/** Lowers a node on strips if an operand is one already, or is a large value that meets a number. */
export function onStrips({ op, inputs, outputs }: Node, lowering: BlockedLowering): boolean {
  const output = outputs[0]!;
  const type = lowering.type(output);
  if (type.dtype !== 'float32' || stripShape(type.shape, lowering.block) === undefined) return false;
  const number = inputs.map((id) => sizeOf(lowering.shape(id)) === 1);
  if (!inputs.every((id, i) => number[i] || sameShape(lowering.shape(id), type.shape))) return false;
  const large = inputs.filter((_, i) => !number[i]);
  if (large.length === inputs.length && !large.some((id) => lowering.hasStrip(id))) return false;
  const layout = large.map((id) => lowering.layoutOf(id)).find((found) => found !== 'plain') ?? 'plain';
  const [a, b] = inputs as [number, number | undefined];
  if (b !== undefined && number[1]) return withNumber(lowering, layout, op, a, lowering.get(b), output);
  if (b !== undefined && number[0])
    return (op === 'mul' || op === 'add') && withNumber(lowering, layout, op, b, lowering.get(a), output);
  lowering.setStrip(layout, output, combined(lowering, layout, op, a, b));
  return true;
}

function withNumber(
  lowering: BlockedLowering,
  layout: Layout,
  op: string,
  value: number,
  number: string,
  output: number,
): boolean {
  const { onnx } = lowering;
  if (op === 'mul' || op === 'div') {
    const factor = op === 'mul' ? number : onnx.op('Reciprocal', [number]);
    lowering.deferScaled(output, { layout, of: lowering.strip(layout, value), factor });
    return true;
  }
  if (op !== 'add' && op !== 'sub') return false;
  const term = op === 'add' ? number : onnx.op('Neg', [number]);
  const bias = lowering.once(`bias ${term}`, () =>
    onnx.op('Expand', [lowering.reshape(term, [1]), onnx.ints([lowering.block])]),
  );
  const ones = onnx.full([lowering.block, 1, 1, 1], 1);
  const options = { kernel_shape: [1, 1], group: lowering.block };
  lowering.setStrip(
    layout,
    output,
    onnx.op('Conv', [lowering.strip(layout, value), ones, bias], options, nchwc),
  );
  return true;
}

/** An op of one or two values of one shape. */
function combined(
  lowering: BlockedLowering,
  layout: Layout,
  op: string,
  a: number,
  b: number | undefined,
): string {
  const { onnx } = lowering;
  if (b !== undefined && a !== b && (op === 'add' || op === 'sub')) {
    const second = lowering.takeScaled(b);
    if (second?.layout === layout) {
      const factor = op === 'add' ? second.factor : onnx.op('Neg', [second.factor]);
      return lowering.scale({ ...second, factor }, lowering.strip(layout, a));
    }
    const first = op === 'add' ? lowering.takeScaled(a) : undefined;
    if (first?.layout === layout) return lowering.scale(first, lowering.strip(layout, b));
  }
  const names = (b === undefined ? [a] : [a, b]).map((id) => lowering.strip(layout, id));
  return onnx.op(elementwiseTypes[op]!, names);
}
