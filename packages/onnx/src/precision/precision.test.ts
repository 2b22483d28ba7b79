import { describe, expect, it } from 'vitest';
import { float, OnnxBuilder } from '../builder.ts';
import { quantizeDynamically } from './dynamic.ts';
import { foldBatchNorm } from './fold.ts';
import { toHalf } from './half.ts';
import { numbers } from './rewriting.ts';
import { quantizeStatically, valuesToCalibrate } from './static.ts';

const float32 = { dtype: 'float32', shape: [] } as const;

/** A 1x1 convolution of 2 channels to 2, a batch normalisation, a ReLU, and a second convolution. */
function network() {
  const onnx = new OnnxBuilder();
  const input = onnx.input('input', float32, ['batch', 2, 4, 4]);
  const constant = (name: string, shape: readonly number[], values: readonly number[]) =>
    onnx.tensor({ dtype: 'float32', shape, data: Float32Array.from(values) }, name);
  const from = onnx.nodes.length;
  const convolved = onnx.op('Conv', [input, constant('w', [2, 2, 1, 1], [1, -0.5, 0.25, 2])], {
    kernel_shape: [1, 1],
  });
  const statistics = [
    constant('gamma', [2], [2, 3]),
    constant('beta', [2], [0.5, -1]),
    constant('mean', [2], [1, 4]),
    constant('variance', [2], [3, 8]),
  ];
  const normal = onnx.op('BatchNormalization', [convolved, ...statistics], { epsilon: float(1) });
  const active = onnx.op('Relu', [normal]);
  const output = onnx.op('Conv', [active, constant('v', [1, 2, 1, 1], [3, -1])], { kernel_shape: [1, 1] });
  return { onnx, from, input, output };
}

const types = ({ onnx }: { readonly onnx: OnnxBuilder }) => onnx.nodes.map(({ opType }) => opType);

/** A constant that a node reads, as plain numbers. */
function read(onnx: OnnxBuilder, node: number, input: number): number[] {
  const { type, rawData } = onnx.constant(onnx.nodes[node]!.input[input]!)!;
  if (type === 'float32') return [...numbers({ rawData } as Parameters<typeof numbers>[0])];
  const view = { uint8: Uint8Array, int8: Int8Array, int32: Int32Array, float16: Uint16Array }[
    type as 'uint8'
  ];
  return [...new view(rawData.buffer, rawData.byteOffset, rawData.byteLength / view.BYTES_PER_ELEMENT)];
}

it('a batch normalisation becomes part of the convolution before it', () => {
  const { onnx, from, input } = network();
  foldBatchNorm({ onnx, from, input });
  expect(types({ onnx })).toEqual(['Conv', 'Relu', 'Conv']);
  // 2 / sqrt(3 + 1) = 1 and 3 / sqrt(8 + 1) = 1; 0.5 - 1 and -1 - 4.
  expect(read(onnx, 0, 1)).toEqual([1, -0.5, 0.25, 2]);
  expect(read(onnx, 0, 2)).toEqual([-0.5, -5]);
  expect(onnx.constant('gamma')).toBeUndefined();
});

it('in float16 the weights are halves, between casts', () => {
  const { onnx, from, input, output } = network();
  foldBatchNorm({ onnx, from, input });
  const leave = toHalf({ onnx, from, input });
  leave(output);
  expect(types({ onnx })).toEqual(['Cast', 'Conv', 'Relu', 'Conv', 'Cast']);
  expect(onnx.nodes[1]!.input[0]).toBe(onnx.nodes[0]!.output[0]);
  // 1, -0.5, 0.25 and 2 as IEEE 754 binary16.
  expect(read(onnx, 1, 1)).toEqual([0x3c00, 0xb800, 0x3400, 0x4000]);
});

it('weights beyond float16 are refused by name', () => {
  const onnx = new OnnxBuilder();
  const input = onnx.input('input', float32, [1, 1]);
  const weight = onnx.tensor({ dtype: 'float32', shape: [1, 1], data: Float32Array.of(1e6) }, 'fc.weight');
  onnx.op('Gemm', [input, weight]);
  expect(() => toHalf({ onnx, from: 0, input })).toThrow(
    /^fc\.weight holds 1000000, beyond the range of float16/,
  );
});

describe('int8 by ranges known beforehand', () => {
  it('reads the ranges of what convolutions read', () => {
    const { onnx, from, input } = network();
    foldBatchNorm({ onnx, from, input });
    expect(valuesToCalibrate({ onnx, from, input })).toEqual(['input', onnx.nodes[1]!.output[0]]);
  });

  it('has the bytes of the definition', () => {
    const { onnx, from, input } = network();
    foldBatchNorm({ onnx, from, input });
    const [first, second] = valuesToCalibrate({ onnx, from, input });
    quantizeStatically(
      { onnx, from, input },
      new Map([
        [first!, [-1, 1.55]],
        [second!, [0.2, 5.1]],
      ]),
    );
    const pair = ['QuantizeLinear', 'DequantizeLinear'];
    expect(types({ onnx })).toEqual([
      ...[...pair, 'DequantizeLinear', 'DequantizeLinear', 'Conv', 'Relu'],
      ...[...pair, 'DequantizeLinear', 'Conv'],
    ]);
    // 255 steps of 0.01 from -1: zero is the 100th. The second range is widened to zero: steps of 0.02.
    expect(read(onnx, 0, 1)[0]).toBeCloseTo(0.01, 8);
    expect(read(onnx, 0, 2)).toEqual([100]);
    expect(read(onnx, 6, 1)[0]).toBeCloseTo(0.02, 8);
    expect(read(onnx, 6, 2)).toEqual([0]);
    // 64 steps for the largest of each output channel: 1 and 2.
    expect(read(onnx, 2, 0)).toEqual([64, -32, 8, 64]);
    expect(read(onnx, 2, 1)).toEqual([1 / 64, 2 / 64]);
    // The bias -0.5 in steps of 0.01 / 64, and -5 in steps of 0.01 / 32.
    expect(read(onnx, 3, 0)).toEqual([-3200, -16000]);
  });
});

it('int8 by ranges found as they come has bytes about 128', () => {
  const { onnx, from, input } = network();
  foldBatchNorm({ onnx, from, input });
  quantizeDynamically({ onnx, from, input });
  const product = ['DynamicQuantizeLinear', 'ConvInteger', 'Cast', 'Mul', 'Mul'];
  expect(types({ onnx })).toEqual([...product, 'Add', 'Relu', ...product, 'Identity']);
  // 127 steps for the largest of each output channel.
  expect(read(onnx, 1, 1)).toEqual([255, 128 - 64, 128 + 16, 255]);
  expect(read(onnx, 3, 1)).toEqual([Math.fround(1 / 127), Math.fround(2 / 127)]);
});
