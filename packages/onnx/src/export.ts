/** Writes a trained encoder as an ONNX model for any runtime: standard ops, weights inside, a free batch. */
import { encoderGraph, type ModelConfig, type Params, type TensorType } from '@moco-ts/core';
import type { OnnxBuilder } from './builder.ts';
import { freeBatch, lowerNodes, PlainLowering } from './lowering.ts';
import { portableRules } from './rules.ts';

/** What turns a raw picture into the encoder's input, in the graph. */
export interface Preprocess {
  /** The encoder's height and width, in pixels. */
  readonly size: number;
  /** The shorter side of pictures that are not square, after resizing and before the centre crop; at least `size`, its default. */
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

/** The batch is free in the result; only shapes are traced. A large prime is not mistaken for any other extent. */
const tracedBatch = 10007;

/**
 * The model's bytes. Output: `features` float32 [N, D], or of a classifier `logits` float32 [N, C].
 * @throws BackendError for an encoder with ops that ONNX lacks, or that writes the batch into a shape
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

/**
 * uint8 [N, H, W, 3] to normalised float32 [N, 3, size, size]: resize the shorter side (truncating the longer one), crop
 * the centre (halves to even), as torchvision does it.
 */
function pictures(onnx: OnnxBuilder, { size, shorterSide = size, mean, std }: Preprocess): string {
  const raw = onnx.input('images', { dtype: 'uint8', shape: [] }, ['batch', 'height', 'width', 3]);
  const channelsFirst = onnx.op('Transpose', [onnx.op('Cast', [raw], { to: 1 })], { perm: [0, 3, 1, 2] });
  const sides = onnx.op('Slice', [onnx.op('Shape', [channelsFirst]), onnx.ints([2]), onnx.ints([4])]);
  const shorter = onnx.op('ReduceMin', [sides], { keepdims: 1 });
  const square = onnx.op('Equal', [shorter, onnx.op('ReduceMax', [sides], { keepdims: 1 })]);
  const target = onnx.op('Where', [square, onnx.ints([size]), onnx.ints([shorterSide])]);
  const sizes = onnx.op('Div', [onnx.op('Mul', [sides, target]), shorter]);
  // Pillow's order: along the rows, rounded to whole values, then along the columns, rounded again.
  const resize = (x: string, axis: number) => {
    const length = onnx.op('Slice', [sizes, onnx.ints([axis - 2]), onnx.ints([axis - 1])]);
    const options = {
      mode: 'linear',
      antialias: 1,
      axes: [axis],
      coordinate_transformation_mode: 'half_pixel',
    };
    const resized = onnx.op('Resize', [x, '', '', length], options);
    // Halves, which are common where a side is halved, go up, also when float32 weights leave them a little short.
    const whole = onnx.op('Floor', [onnx.op('Add', [resized, onnx.scalar(0.501)])]);
    return onnx.op('Clip', [whole, onnx.scalar(0), onnx.scalar(255)]);
  };
  const whole = resize(resize(channelsFirst, 3), 2);
  const crop = onnx.ints([size, size]);
  const margin = onnx.op('Cast', [onnx.op('Sub', [sizes, crop])], { to: 1 });
  const half = onnx.op('Round', [onnx.op('Mul', [margin, onnx.scalar(0.5)])]);
  const starts = onnx.op('Cast', [half], { to: 7 });
  const cropped = onnx.op('Slice', [whole, starts, onnx.op('Add', [starts, crop]), onnx.ints([2, 3])]);
  const channel = (values: readonly number[]) =>
    onnx.tensor({ dtype: 'float32', shape: [1, 3, 1, 1], data: Float32Array.from(values, (v) => 255 * v) });
  return onnx.op('Div', [onnx.op('Sub', [cropped, channel(mean)]), channel(std)]);
}
