import type { OnnxBuilder, OnnxNode } from '../builder.ts';
import { elementTypes } from '../proto.ts';
import { channelAt, channelMaxima, type Network, roundEven, type Weights, weightsOf } from './rewriting.ts';

/** Bytes stand for values about this one: kernels of unsigned bytes on both sides never saturate inside a sum. */
const ZERO = 128;

/**
 * Convolutions and products with constants in 8 bits: weights by output channel, beforehand; activations by the range of each
 * tensor, found while it runs (ONNX's DynamicQuantizeLinear). Everything else stays float32.
 */
export function quantizeDynamically({ onnx, from }: Network): void {
  const activations = new Map<string, readonly string[]>();
  const quantized = (name: string) => {
    let known = activations.get(name);
    if (!known) {
      known = onnx.node('DynamicQuantizeLinear', [name], {}, 3);
      activations.set(name, known);
    }
    return known as readonly [string, string, string];
  };
  onnx.rewrite(from, (node) => {
    const weights = weightsOf(onnx, node);
    if (!weights) return node;
    const [x, scale, zero] = quantized(node.input[0]!);
    const { bytes, scales } = unsigned(onnx, node, weights);
    const sums = integerProduct(onnx, node, [x, bytes, zero]);
    const floats = onnx.op('Cast', [sums], { to: elementTypes.float32 });
    const product = onnx.op('Mul', [floats, onnx.op('Mul', [scale, scales])]);
    const bias = node.input[2];
    const shift = bias === undefined ? undefined : biasAlong(onnx, bias);
    const last: OnnxNode = shift
      ? { opType: 'Add', name: onnx.fresh('node'), input: [product, shift], output: node.output }
      : { opType: 'Identity', name: onnx.fresh('node'), input: [product], output: node.output };
    return last;
  });
}

function integerProduct(
  onnx: OnnxBuilder,
  node: OnnxNode,
  [x, bytes, zero]: [string, string, string],
): string {
  const middle = onnx.initializer(onnx.fresh('zero'), 'uint8', [], Uint8Array.of(ZERO));
  const inputs = [x, bytes, zero, middle];
  if (node.opType === 'Gemm') return onnx.op('MatMulInteger', inputs);
  const output = onnx.fresh('ConvInteger');
  onnx.append({
    opType: 'ConvInteger',
    input: inputs,
    output: [output],
    ...(node.attribute && { attribute: node.attribute }),
  });
  return output;
}

/** Weights as bytes about 128, a product's with its output channels last, and what a step of each channel is worth. */
function unsigned(onnx: OnnxBuilder, { opType }: OnnxNode, weights: Weights) {
  const { values, dims, axis } = weights;
  const steps = channelMaxima(weights).map((most) => most / 127);
  const data = Uint8Array.from(
    values,
    (value, i) => ZERO + roundEven(value / steps[channelAt(i, dims, axis)]!),
  );
  const turned = opType === 'Gemm' && axis === 0;
  const shape = turned ? [dims[1]!, dims[0]!] : dims;
  const bytes = turned ? transposed(data, dims[0]!, dims[1]!) : data;
  return {
    bytes: onnx.initializer(onnx.fresh('bytes'), 'uint8', shape, bytes),
    scales: onnx.initializer(
      onnx.fresh('scales'),
      'float32',
      opType === 'Conv' ? [1, steps.length, 1, 1] : [steps.length],
      steps,
    ),
  };
}

function transposed(data: Uint8Array, rows: number, columns: number): Uint8Array {
  return Uint8Array.from(
    { length: data.length },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

function biasAlong(onnx: OnnxBuilder, name: string): string {
  const { dims, rawData } = onnx.constant(name)!;
  return onnx.initializer(onnx.fresh('bias'), 'float32', [1, dims[0]!, 1, 1], rawData);
}
