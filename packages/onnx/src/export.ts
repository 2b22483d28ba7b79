/** Writes a trained encoder as an ONNX model for any runtime: standard ops, weights inside, a free batch. */
import { encoderGraph, type ModelConfig, type Params, type TensorType } from '@moco-ts/core';
import type { OnnxBuilder } from './builder.ts';
import { freeBatch, lowerNodes, PlainLowering } from './lowering.ts';
import { quantizeDynamically } from './precision/dynamic.ts';
import { foldBatchNorm } from './precision/fold.ts';
import { toHalf } from './precision/half.ts';
import type { Network } from './precision/rewriting.ts';
import { quantizeStatically, type Range, valuesToCalibrate } from './precision/static.ts';
import { portableRules } from './rules.ts';

/** What turns a raw image into the encoder's input, in the graph. */
export interface Preprocess {
  /** The encoder's height and width, in pixels. */
  readonly size: number;
  /** The shorter side of images that are not square, after resizing and before the centre crop; at least `size`, its default. */
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
  /** Take uint8 images [N, H, W, 3] of any size as `images`, instead of float32 [N, 3, S, S] as `input`. */
  readonly preprocess?: Preprocess;
  /** Written into the model's metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** The ONNX opset, 18 or newer; default 18. */
  readonly opset?: number;
  /** How the network computes; default float32. */
  readonly precision?: Precision;
  /** Names of the input and the output, in place of `input` or `images` and of `features` or `logits`. */
  readonly names?: { readonly input: string; readonly output: string };
}

/**
 * - `float16`: half the bytes; for GPUs and browsers.
 * - `int8`: a quarter of the bytes. With the ranges that {@link calibrationModel} gives for images of the kind to come, integers
 *   go from layer to layer; without, each tensor's range is found as it comes, which is slower.
 */
export type Precision =
  | { readonly type: 'float32' }
  | { readonly type: 'float16' }
  | { readonly type: 'int8'; readonly ranges?: readonly Range[] };

/** The batch is free in the result; only shapes are traced. A large prime is not mistaken for any other extent. */
const tracedBatch = 10007;

/**
 * The model's bytes. Outputs: `features` float32 [N, D], or of a classifier `logits` float32 [N, C]; where `model.gives` asks for
 * them, `tokens` float32 [N, T, D].
 * @throws BackendError for an encoder with ops that ONNX lacks, or that writes the batch into a shape; UserError for weights that
 * float16 can't hold
 */
export function exportEncoder(options: ExportOptions): Uint8Array {
  const { model, metadata = {}, opset = 18, precision = { type: 'float32' }, names } = options;
  const { lowering, network, outputs } = networkOf(options);
  const { onnx } = network;
  const values = outputs.map(({ value }) => lowering.get(value));
  const leave = reduce(network, precision);
  outputs.forEach(({ name, type }, i) => {
    onnx.output(
      name === 'tokens' ? name : (names?.output ?? name),
      leave(values[i]!),
      type,
      freeBatch(type.shape),
    );
  });
  return onnx.encode({ opset, name: model.encoder.name, metadata });
}

/**
 * A model that tells the ranges of the values that `int8` needs: outputs `least.0`, `most.0`, `least.1` ..., float32 scalars, in
 * the order of {@link Precision}'s ranges.
 */
export function calibrationModel(options: ExportOptions): { bytes: Uint8Array; count: number } {
  const { network } = networkOf(options);
  const { onnx } = network;
  foldBatchNorm(network);
  const values = valuesToCalibrate(network);
  const scalar: TensorType = { dtype: 'float32', shape: [] };
  values.forEach((value, i) => {
    onnx.output(`least.${i}`, onnx.op('ReduceMin', [value], { keepdims: 0 }), scalar, []);
    onnx.output(`most.${i}`, onnx.op('ReduceMax', [value], { keepdims: 0 }), scalar, []);
  });
  return { bytes: onnx.encode({ opset: 18, name: 'calibration' }), count: values.length };
}

/**
 * A model that tells how large the values get that `float16` has to hold: one output `most`, float32 [values], the largest
 * absolute value of each tensor over the batch.
 */
export function magnitudeModel(options: ExportOptions): Uint8Array {
  const { lowering, network, graph } = networkOf(options);
  const { onnx, from, input } = network;
  foldBatchNorm(network);
  const made = new Set(onnx.nodes.slice(from).flatMap(({ output }) => output));
  const wide = graph.nodes
    .flatMap(({ outputs }) => outputs)
    .filter((value) => graph.values[value]!.dtype === 'float32' && lowering.has(value))
    .map((value) => lowering.get(value))
    .filter((name) => made.has(name));
  const largest = [...new Set([input, ...wide])].map((name) =>
    onnx.op('Reshape', [onnx.op('ReduceMax', [onnx.op('Abs', [name])], { keepdims: 0 }), onnx.ints([1])]),
  );
  const most = onnx.op('Concat', largest, { axis: 0 });
  onnx.output('most', most, { dtype: 'float32', shape: [largest.length] }, [largest.length]);
  return onnx.encode({ opset: 18, name: 'magnitudes' });
}

/** The encoder's nodes, behind those that make its input. */
function networkOf({ model, params, preprocess, names }: ExportOptions) {
  const graph = encoderGraph(model, params, tracedBatch);
  const lowering = new PlainLowering(graph, { freeBatch: true });
  const { onnx } = lowering;
  let input = '';
  for (const { name, value } of graph.inputs) {
    const type = graph.values[value]!;
    if (name !== 'input') {
      lowering.set(value, onnx.tensor(params[name]!, name));
      continue;
    }
    input = preprocess
      ? images(onnx, preprocess, names?.input)
      : onnx.input(names?.input ?? name, type, freeBatch(type.shape));
    lowering.set(value, input);
  }
  const from = onnx.nodes.length;
  lowerNodes(lowering, portableRules);
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value, type: graph.values[value]! }));
  return { lowering, graph, network: { onnx, from, input } satisfies Network, outputs };
}

/** @returns how a value of the network leaves it, as float32 */
function reduce(network: Network, precision: Precision): (value: string) => string {
  const same = (value: string) => value;
  if (precision.type === 'float32') return same;
  foldBatchNorm(network);
  if (precision.type === 'float16') return toHalf(network);
  const { ranges } = precision;
  if (!ranges) quantizeDynamically(network);
  else {
    const values = valuesToCalibrate(network);
    quantizeStatically(network, new Map(values.map((value, i) => [value, ranges[i]!])));
  }
  return same;
}

/**
 * uint8 [N, H, W, 3] to normalised float32 [N, 3, size, size]: resize the shorter side (truncating the longer one), crop
 * the centre (halves to even), as torchvision does it.
 */
function images(
  onnx: OnnxBuilder,
  { size, shorterSide = size, mean, std }: Preprocess,
  name = 'images',
): string {
  const raw = onnx.input(name, { dtype: 'uint8', shape: [] }, ['batch', 'height', 'width', 3]);
  const turned = onnx.op('Transpose', [onnx.op('Cast', [raw], { to: 1 })], { perm: [0, 3, 1, 2] });
  // Before integer convolutions ONNX Runtime moves transpositions behind what follows them, and takes a Resize with axes for
  // one of all axes; past a Reshape, which changes nothing, it moves none.
  const channelsFirst = onnx.op('Reshape', [turned, onnx.ints([0, 0, 0, 0])]);
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
    const rounded = onnx.op('Floor', [onnx.op('Add', [resized, onnx.scalar(0.501)])]);
    return onnx.op('Clip', [rounded, onnx.scalar(0), onnx.scalar(255)]);
  };
  const shortSide = resize(resize(channelsFirst, 3), 2);
  const crop = onnx.ints([size, size]);
  const margin = onnx.op('Cast', [onnx.op('Sub', [sizes, crop])], { to: 1 });
  const half = onnx.op('Round', [onnx.op('Mul', [margin, onnx.scalar(0.5)])]);
  const starts = onnx.op('Cast', [half], { to: 7 });
  const cropped = onnx.op('Slice', [shortSide, starts, onnx.op('Add', [starts, crop]), onnx.ints([2, 3])]);
  const channel = (values: readonly number[]) =>
    onnx.tensor({ dtype: 'float32', shape: [1, 3, 1, 1], data: Float32Array.from(values, (v) => 255 * v) });
  return onnx.op('Div', [onnx.op('Sub', [cropped, channel(mean)]), channel(std)]);
}
