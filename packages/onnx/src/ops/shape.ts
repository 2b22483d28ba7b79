import { BackendError } from '@moco-ts/core';
import type { Lowering, Rule, Rules } from '../lowering.ts';

const reduction =
  (type: string): Rule =>
  ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const x = lowering.get(inputs[0]!);
    const axes = attrs.axes as readonly number[];
    // ONNX takes an empty list of axes for all of them.
    const name =
      axes.length === 0
        ? onnx.op('Identity', [x])
        : onnx.op(type, [x, onnx.ints(axes)], { keepdims: attrs.keepDims ? 1 : 0 });
    lowering.set(outputs[0]!, name);
  };

/**
 * A target shape in which the batch is free: a first extent that is a multiple of it is replaced by ONNX's word for 'as the
 * input has it' where it is the input's own, and else by -1, 'what is left'.
 * @param asInput the word for the first; undefined where there is none for the second
 */
function freed(
  lowering: Lowering,
  input: number,
  target: readonly number[],
  asInput: number,
  whatIsLeft?: number,
): readonly number[] {
  if (!lowering.freeBatch) return target;
  const batch = lowering.type(lowering.graph.inputs[0]!.value).shape[0]!;
  const holds = (extent: number | undefined) =>
    extent !== undefined && extent >= batch && extent % batch === 0;
  const first = lowering.type(input).shape[0];
  const same = target[0] === batch && first === batch;
  const free = same || (whatIsLeft !== undefined && holds(target[0]) && holds(first));
  const rest = free ? target.slice(1) : target;
  if (rest.some(holds))
    throw new BackendError(`an encoder that computes the shape [${target.join(', ')}] has no free batch`);
  return free ? [same ? asInput : whatIsLeft!, ...rest] : target;
}

export const shape: Rules = {
  sum: reduction('ReduceSum'),
  mean: reduction('ReduceMean'),
  max: reduction('ReduceMax'),
  reshape: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const target = onnx.ints(freed(lowering, inputs[0]!, attrs.shape as readonly number[], 0, -1));
    lowering.set(outputs[0]!, onnx.op('Reshape', [lowering.get(inputs[0]!), target]));
  },
  barrier: ({ inputs, outputs }, lowering) => {
    const [x, after] = inputs.map((id) => lowering.get(id)) as [string, string];
    lowering.set(outputs[0]!, lowering.onnx.after(x, lowering.type(inputs[0]!).shape, [after]));
  },
  transpose: ({ inputs, outputs, attrs }, lowering) => {
    const perm = attrs.permutation as readonly number[];
    lowering.set(outputs[0]!, lowering.onnx.op('Transpose', [lowering.get(inputs[0]!)], { perm }));
  },
  broadcastTo: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const target = onnx.ints(freed(lowering, inputs[0]!, attrs.shape as readonly number[], 1));
    lowering.set(outputs[0]!, onnx.op('Expand', [lowering.get(inputs[0]!), target]));
  },
  slice: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const starts = attrs.starts as readonly number[];
    const sizes = attrs.sizes as readonly number[];
    const cut = lowering
      .type(inputs[0]!)
      .shape.flatMap((extent, axis) => (sizes[axis] === extent ? [] : [axis]));
    const from = onnx.ints(cut.map((axis) => starts[axis]!));
    const to = onnx.ints(cut.map((axis) => starts[axis]! + sizes[axis]!));
    const x = lowering.get(inputs[0]!);
    lowering.set(outputs[0]!, cut.length === 0 ? x : onnx.op('Slice', [x, from, to, onnx.ints(cut)]));
  },
  pad: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const pads = [...(attrs.before as readonly number[]), ...(attrs.after as readonly number[])];
    const x = lowering.get(inputs[0]!);
    lowering.set(outputs[0]!, pads.length === 0 ? x : onnx.op('Pad', [x, onnx.ints(pads)]));
  },
  concat: ({ inputs, outputs, attrs }, lowering) => {
    const parts = inputs.map((id) => lowering.get(id));
    lowering.set(outputs[0]!, lowering.onnx.op('Concat', parts, { axis: attrs.axis as number }));
  },
  gather: ({ inputs, outputs }, lowering) => {
    const [x, rows] = inputs.map((id) => lowering.get(id)) as [string, string];
    lowering.set(outputs[0]!, lowering.onnx.op('Gather', [x, rows], { axis: 0 }));
  },
  scatterAdd: ({ inputs, outputs }, lowering) => {
    const { onnx } = lowering;
    const [x, rows] = inputs.map((id) => lowering.get(id)) as [string, string];
    const target = lowering.type(outputs[0]!).shape;
    const zeros = onnx.op('Expand', [onnx.scalar(0), onnx.ints(target)]);
    const wide = onnx.op('Cast', [rows], { to: 7 });
    const indices = onnx.op('Unsqueeze', [wide, onnx.ints([1])]);
    lowering.set(outputs[0]!, onnx.op('ScatterND', [zeros, indices, x], { reduction: 'add' }));
  },
  updateSlice: ({ inputs, outputs, attrs }, lowering) => {
    const { onnx } = lowering;
    const axis = attrs.axis as number;
    const [x, update, start] = inputs.map((id) => lowering.get(id)) as [string, string, string];
    const target = lowering.type(inputs[0]!).shape;
    const written = lowering.type(inputs[1]!).shape;
    const count = written[axis]!;
    const first = onnx.op('Cast', [start], { to: 7 });
    const offsets = onnx.ints(Array.from({ length: count }, (_, i) => i));
    const positions = onnx.op('Mod', [onnx.op('Add', [offsets, first]), onnx.ints([target[axis]!])]);
    const aligned = onnx.op('Reshape', [
      positions,
      onnx.ints(written.map((_, i) => (i === axis ? count : 1))),
    ]);
    const indices = onnx.op('Expand', [aligned, onnx.ints(written)]);
    lowering.set(outputs[0]!, onnx.op('ScatterElements', [x, indices, update], { axis }));
  },
};
