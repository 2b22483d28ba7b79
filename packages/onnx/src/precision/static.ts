import type { OnnxBuilder } from '../builder.ts';
import {
  channelAt,
  channelMaxima,
  type Network,
  numbers,
  roundEven,
  type Weights,
  weightsOf,
} from './rewriting.ts';

/** The least and the greatest value that a tensor took on the calibration images. */
export type Range = readonly [least: number, most: number];

/** Ops that are computed in 8 bits where the values around them are. */
const insideInt8: ReadonlySet<string> = new Set(['MaxPool', 'Add']);

/**
 * Weights keep seven bits and a sign's: kernels without VNNI add pairs of products of an unsigned and a signed byte in
 * 16 bits, which eight would overflow (ONNX Runtime's "reduce range").
 */
const MOST = 64;

/**
 * The values whose ranges {@link quantizeStatically} needs, in order: what convolutions and products with constants read, and
 * what pooling and the sums of residual branches read.
 */
export function valuesToCalibrate({ onnx, from }: Network): string[] {
  const nodes = onnx.nodes.slice(from);
  const made = new Set(nodes.flatMap(({ output }) => output));
  const convolves =
    nodes.some(({ opType }) => opType === 'Conv') && !nodes.some(({ opType }) => opType === 'Softmax');
  const wanted = new Set<string>();
  for (const node of nodes) {
    if (weightsOf(onnx, node)) wanted.add(node.input[0]!);
    // In a transformer sums are kept apart: their ranges are wide, and few of their readers are products.
    else if (convolves && insideInt8.has(node.opType) && node.input.every((name) => made.has(name)))
      for (const name of node.input) wanted.add(name);
  }
  return [...wanted];
}

/**
 * Convolutions and products with constants in 8 bits, by ranges found beforehand: each value that they read goes through
 * QuantizeLinear and DequantizeLinear, which runtimes fuse into integer kernels. Activations are unsigned bytes by tensor, weights
 * signed by output channel.
 */
export function quantizeStatically(network: Network, ranges: ReadonlyMap<string, Range>): void {
  const { onnx, from } = network;
  const wanted = new Set(valuesToCalibrate(network));
  const known = new Map<string, Quantized>();
  const through = (name: string): Quantized => {
    let done = known.get(name);
    if (!done) {
      done = quantized(onnx, name, ranges.get(name)!);
      known.set(name, done);
    }
    return done;
  };
  onnx.rewrite(from, (node) => {
    const weights = weightsOf(onnx, node);
    if (!weights) {
      const reads = insideInt8.has(node.opType) && node.input.every((name) => wanted.has(name));
      return reads ? { ...node, input: node.input.map((name) => through(name).value) } : node;
    }
    const { value, step } = through(node.input[0]!);
    const { name, steps } = signed(onnx, weights);
    const bias = node.input[2];
    return {
      ...node,
      input: [value, name, ...(bias === undefined ? [] : [wholeBias(onnx, bias, steps, step)])],
    };
  });
}

interface Quantized {
  readonly value: string;
  /** What a step of its bytes is worth. */
  readonly step: number;
}

function quantized(onnx: OnnxBuilder, name: string, [least, most]: Range): Quantized {
  // Zero, with which images are padded, has a byte of its own.
  const [low, high] = [Math.min(0, least), Math.max(0, most)];
  const step = Math.fround(Math.max(high - low, 1e-12) / 255);
  const zero = Math.min(255, Math.max(0, roundEven(-low / step)));
  const scale = onnx.scalar(step);
  const middle = onnx.initializer(onnx.fresh('zero'), 'uint8', [], Uint8Array.of(zero));
  const bytes = onnx.op('QuantizeLinear', [name, scale, middle]);
  return { value: onnx.op('DequantizeLinear', [bytes, scale, middle]), step };
}

function signed(onnx: OnnxBuilder, weights: Weights): { name: string; steps: Float32Array } {
  const { values, dims, axis } = weights;
  const steps = channelMaxima(weights).map((most) => most / MOST);
  const data = Int8Array.from(values, (value, i) => roundEven(value / steps[channelAt(i, dims, axis)]!));
  return { name: dequantized(onnx, 'int8', dims, data, steps, axis), steps };
}

/** A bias in steps of the products' sums. */
function wholeBias(onnx: OnnxBuilder, name: string, steps: Float32Array, step: number): string {
  const worth = steps.map((each) => each * step);
  const data = Int32Array.from(numbers(onnx.constant(name)!), (value, i) => roundEven(value / worth[i]!));
  return dequantized(onnx, 'int32', [data.length], data, worth, 0);
}

function dequantized(
  onnx: OnnxBuilder,
  type: 'int8' | 'int32',
  dims: readonly number[],
  data: Int8Array | Int32Array,
  steps: Float32Array,
  axis: number,
): string {
  const zeros = type === 'int8' ? new Int8Array(steps.length) : new Int32Array(steps.length);
  const inputs = [
    onnx.initializer(onnx.fresh('whole'), type, dims, data),
    onnx.initializer(onnx.fresh('steps'), 'float32', [steps.length], steps),
    onnx.initializer(onnx.fresh('zeros'), type, [steps.length], zeros),
  ];
  return onnx.op('DequantizeLinear', inputs, { axis });
}
