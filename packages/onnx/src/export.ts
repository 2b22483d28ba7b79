/** Writes a trained encoder as an ONNX model for any runtime: standard ops, weights inside, a free batch. */
import { encoderGraph, type ModelConfig, type Params, type TensorType } from '@moco-ts/core';
import type { OnnxBuilder } from './builder.ts';
import { freeBatch, lowerNodes, PlainLowering } from './lowering.ts';
import { portableRules } from './rules.ts';

/** What turns a raw picture into the encoder's input, in the graph. */
export interface Preprocess {
  /** The encoder's height and width, in pixels. */
  readonly size: number;
  /** The shorter side after resizing, before the centre crop; at least `size`, default `size`. */
  readonly shorterSide?: number;
  /** By channel, in [0, 1]. */
  readonly mean: readonly number[];
  /** By channel, in (0, 1]. */
  readonly std: readonly number[];
}

export interface ExportOptions {
  readonly model: ModelConfig;
  /** The query encoder's parameters, without prefix. */
  readonly params: Params;
  /** Take uint8 pictures [N, H, W, 3] of any size as `images`, instead of float32 [N, 3, S, S] as `input`. */
  readonly preprocess?: Preprocess;
  /** Written into the model's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The ONNX opset, 18 or newer; default 18. */
  readonly opset?: number;
}

/** Any batch does: it is free in the result. More than one, so that it can't be taken for a broadcast axis. */
const tracedBatch = 3;

/**
 * The model's bytes. Output: `features` float32 [N, D].
 * @throws BackendError for an encoder with ops that ONNX lacks
 */
export function exportEncoder({
  model,
  params,
  preprocess,
  metadata = {},
  opset = 18,
}: ExportOptions): Uint8Array {
  const graph = encoderGraph(model, params, tracedBatch);
  const lowering = new PlainLowering(graph, { freeBatch: true });
  const { onnx } = lowering;
  for (const { name, value } of graph.inputs) {
    const type = graph.values[value]!;
    if (name !== 'input') lowering.set(value, onnx.tensor(params[name]!, name));
    else if (preprocess) lowering.set(value, pictures(onnx, preprocess));
    else lowering.set(value, onnx.input(name, type, freeBatch(type.shape)));
  }
  lowerNodes(lowering, portableRules);
  for (const { name, value } of graph.outputs) {
    const type: TensorType = graph.values[value]!;
    onnx.output(name, lowering.get(value), type, freeBatch(type.shape));
  }
  return onnx.encode({ opset, name: model.encoder.name, metadata });
}

/** uint8 [N, H, W, 3] to normalised float32 [N, 3, size, size]: resize the shorter side, crop the centre. */
function pictures(onnx: OnnxBuilder, { size, shorterSide = size, mean, std }: Preprocess): string {
  const raw = onnx.input('images', { dtype: 'uint8', shape: [] }, ['batch', 'height', 'width', 3]);
  const channelsFirst = onnx.op('Transpose', [onnx.op('Cast', [raw], { to: 1 })], { perm: [0, 3, 1, 2] });
  const resized = onnx.op('Resize', [channelsFirst, '', '', onnx.ints([shorterSide, shorterSide])], {
    mode: 'linear',
    antialias: 1,
    axes: [2, 3],
    coordinate_transformation_mode: 'half_pixel',
    keep_aspect_ratio_policy: 'not_smaller',
  });
  // Whole values, as a picture library's resize gives them.
  const whole = onnx.op('Clip', [onnx.op('Round', [resized]), onnx.scalar(0), onnx.scalar(255)]);
  const extents = onnx.op('Slice', [onnx.op('Shape', [whole]), onnx.ints([2]), onnx.ints([4])]);
  const starts = onnx.op('Div', [onnx.op('Sub', [extents, onnx.ints([size, size])]), onnx.ints([2, 2])]);
  const ends = onnx.op('Add', [starts, onnx.ints([size, size])]);
  const cropped = onnx.op('Slice', [whole, starts, ends, onnx.ints([2, 3])]);
  const channel = (values: readonly number[]) =>
    onnx.tensor({ dtype: 'float32', shape: [1, 3, 1, 1], data: Float32Array.from(values, (v) => 255 * v) });
  return onnx.op('Div', [onnx.op('Sub', [cropped, channel(mean)]), channel(std)]);
}
