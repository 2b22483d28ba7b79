/** What the passes over the nodes of an exported network share. */
import type { Shape } from '@moco-ts/core';
import type { Initializer, OnnxBuilder, OnnxNode } from '../builder.ts';

/** A network within a model: its nodes from a position on, and the value that enters it. */
export interface Network {
  readonly onnx: OnnxBuilder;
  readonly from: number;
  readonly input: string;
}

/** A float32 constant's numbers. */
export function numbers({ rawData }: Initializer): Float32Array {
  return new Float32Array(rawData.buffer, rawData.byteOffset, rawData.byteLength / 4);
}

export interface Weights {
  readonly values: Float32Array;
  readonly dims: Shape;
  /** Of output channels. */
  readonly axis: number;
}

/** The weights of a node that is a convolution or a product with constants; undefined for any other. */
export function weightsOf(
  onnx: OnnxBuilder,
  { opType, input, attribute = [] }: OnnxNode,
): Weights | undefined {
  if (opType !== 'Conv' && opType !== 'Gemm') return undefined;
  const weights = onnx.constant(input[1]!);
  if (weights?.type !== 'float32') return undefined;
  const flag = (name: string) =>
    (attribute as { name: string; i?: number }[]).find((each) => each.name === name)?.i ?? 0;
  if (opType === 'Gemm' && flag('transA') !== 0) return undefined;
  const axis = opType === 'Conv' || flag('transB') === 1 ? 0 : 1;
  return { values: numbers(weights), dims: weights.dims, axis };
}

/** The largest magnitude in each output channel, at least the smallest normal number. */
export function channelMaxima({ values, dims, axis }: Weights): Float32Array {
  const channels = dims[axis]!;
  const maxima = new Float32Array(channels).fill(1e-30);
  values.forEach((value, i) => {
    const channel = channelAt(i, dims, axis);
    maxima[channel] = Math.max(maxima[channel]!, Math.abs(value));
  });
  return maxima;
}

export function channelAt(i: number, dims: Shape, axis: number): number {
  const inner = dims.slice(axis + 1).reduce((product, extent) => product * extent, 1);
  return Math.floor(i / inner) % dims[axis]!;
}

/** Rounds halves to even, as QuantizeLinear does. */
export function roundEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor & 1) : Math.round(value);
}
