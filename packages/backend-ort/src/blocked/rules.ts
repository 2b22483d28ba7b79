/** The blocked rules, and the plain ones behind them. */
import { type Node, type Shape4, sameShape } from '@moco-ts/core';
import { elementwiseTypes, poolOptions, portableRules, positive, type Rules } from '@moco-ts/onnx';
import { elementwiseOps, isElementwise } from './assign.ts';
import { conv2d, conv2dInputGrad } from './conv.ts';
import { conv2dFilterGrad } from './filter-grad.ts';
import { onTiles } from './flat-tiles.ts';
import type { Layout } from './layout.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';
import { batchNorm, batchNormGrad, batchNormInference } from './norm.ts';
import type { BlockedRule } from './rule.ts';

/** Elementwise ops work on any layout, if all operands but single numbers are in the same one. */
const elementwise: BlockedRule = (node, lowering) => {
  if (node.op in elementwiseTypes && onTiles(node, lowering)) return true;
  const { op, inputs, outputs } = node;
  const output = outputs[0]!;
  const shape = lowering.shape(output);
  const layout = inputs.map((id) => lowering.layoutOf(id)).find((held) => held !== 'plain');
  if (layout === undefined) return false;
  const single = (id: number) => lowering.shape(id).every((extent) => extent === 1);
  if (!inputs.every((id) => sameShape(lowering.shape(id), shape) || single(id))) return false;
  if (single(output)) return false;
  const names = inputs.map((id) => (single(id) ? lowering.get(id) : lowering.getIn(layout, id)));
  const { onnx } = lowering;
  const name =
    op === 'reluGrad'
      ? onnx.op('Mul', [names[0]!, positive(onnx, names[1]!)])
      : onnx.op(elementwiseTypes[op]!, names);
  lowering.setIn(layout, output, name);
  return true;
};

const select: BlockedRule = (node, lowering) =>
  isElementwise(node, lowering.graph) && elementwise(node, lowering);

/** relu after a normalisation is that one's activation. */
const relu: BlockedRule = (node, lowering) => {
  const pending = lowering.takePending(node.inputs[0]!);
  if (!pending) return elementwise(node, lowering);
  lowering.setIn('data', node.outputs[0]!, pending.emit(undefined, true));
  return true;
};

/** A residual after a normalisation is added by it, and put off further: a relu may follow. */
const add: BlockedRule = (node, lowering) => {
  const [a, b] = node.inputs as [number, number];
  if (!sameShape(lowering.shape(a), lowering.shape(b)) || a === b) return elementwise(node, lowering);
  for (const [value, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const pending = lowering.takePending(value);
    if (!pending || lowering.layoutOf(other) !== 'data') continue;
    const addend = lowering.data(other);
    lowering.defer(node.outputs[0]!, {
      emit: (second, positivePart) => {
        const sum = second === undefined ? addend : lowering.onnx.op('Add', [addend, second]);
        return pending.emit(sum, positivePart);
      },
    });
    return true;
  }
  return elementwise(node, lowering);
};

/** Splitting the batch into groups and back moves no element of blocked data: [N, C, H, W] as [N/G, G C, H, W]. */
const reshape: BlockedRule = ({ inputs, outputs }, lowering) => {
  const [input, output] = [inputs[0]!, outputs[0]!];
  const [from, to] = [lowering.shape(input), lowering.shape(output)];
  if (lowering.layoutOf(input) !== 'data' || !lowering.fitsData(output)) return false;
  if (from[2] !== to[2] || from[3] !== to[3]) return false;
  const pending = lowering.takePending(input);
  if (pending)
    lowering.defer(output, {
      emit: (addend, positivePart) => {
        const aligned = addend === undefined ? undefined : lowering.reshape(addend, from);
        return lowering.reshape(pending.emit(aligned, positivePart), to);
      },
    });
  else lowering.setIn('data', output, lowering.reshape(lowering.data(input), to));
  return true;
};

/** Both values stay in the layouts that they have. */
const barrier: BlockedRule = ({ inputs, outputs }, lowering) => {
  const [layout, after] = inputs.map((id) => lowering.layoutOf(id)) as [Layout, Layout];
  const [x, other] = [lowering.getIn(layout, inputs[0]!), lowering.getIn(after, inputs[1]!)];
  lowering.setIn(layout, outputs[0]!, lowering.onnx.after(x, lowering.shape(inputs[0]!), [other]));
  return true;
};

/** The mean of whole maps. */
const mean: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  const axes = attrs.axes as readonly number[];
  if (lowering.layoutOf(inputs[0]!) !== 'data' || !sameShape(axes, [2, 3])) return false;
  const pooled = lowering.onnx.op('GlobalAveragePool', [lowering.data(inputs[0]!)], {}, nchwc);
  lowering.set(outputs[0]!, lowering.reshape(pooled, lowering.shape(outputs[0]!)));
  return true;
};

/** One value for each map, broadcast over the map. */
const broadcastTo: BlockedRule = ({ inputs, outputs }, lowering) => {
  const [input, output] = [inputs[0]!, outputs[0]!];
  if (!lowering.fitsData(output)) return false;
  const [batch, channels, height, width] = lowering.shape(output) as Shape4;
  if (!sameShape(lowering.shape(input), [batch, channels, 1, 1])) return false;
  const { block, onnx } = lowering;
  const planes = batch * (channels / block);
  const vectors = lowering.reshape(lowering.get(input), [planes, 1, block]);
  const expanded = onnx.op('Expand', [vectors, onnx.ints([planes, height * width, block])]);
  lowering.setIn('data', output, lowering.reshape(expanded, lowering.shape(output)));
  return true;
};

const maxPool2d: BlockedRule = ({ inputs, outputs, attrs }, lowering) => {
  if (lowering.layoutOf(inputs[0]!) !== 'data') return false;
  const pooled = lowering.onnx.op('MaxPool', [lowering.data(inputs[0]!)], poolOptions(attrs), nchwc);
  lowering.setIn('data', outputs[0]!, pooled);
  return true;
};

const blockedRules: Readonly<Record<string, BlockedRule>> = {
  ...Object.fromEntries([...elementwiseOps].map((op) => [op, elementwise])),
  add,
  barrier,
  relu,
  select,
  reshape,
  mean,
  broadcastTo,
  maxPool2d,
  batchNorm,
  batchNormGrad,
  batchNormInference,
  conv2d,
  conv2dInputGrad,
  conv2dFilterGrad,
};

/** Every op's rule: the blocked form where it applies, else the plain one. */
export function rulesFor(lowering: BlockedLowering): Rules {
  return Object.fromEntries(
    Object.entries(portableRules).map(([op, plain]) => {
      const blocked = blockedRules[op];
      if (!blocked) return [op, plain];
      return [op, (node: Node) => blocked(node, lowering) || plain(node, lowering)];
    }),
  );
}
