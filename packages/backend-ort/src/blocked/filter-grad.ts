/**
 * The filter gradient as convolutions that swap images and channels: each channel of x becomes an image whose channels are
 * lanes (row tiles of the original images, see lanes.ts). Its convolution with dy as the filter, dilated by the stride, gives
 * the taps of dw. 16 channels of x are packed along the width, so that the kernel sees rows of kW * 16 columns instead of kW.
 */
import { convAttributes, type Shape4 } from '@moco-ts/core';
import { type Chunk, chunks, type Geometry, gradientByChannel } from './lanes.ts';
import type { BlockedLowering } from './lowering.ts';
import { blockedConv } from './nchwc-conv.ts';
import { pointwiseFilterGrad } from './pointwise-grad.ts';
import { gatherRows, transposeBlocks } from './rows.ts';
import type { BlockedRule } from './rule.ts';
import { stemFilterGrad } from './stem-grad.ts';

export const conv2dFilterGrad: BlockedRule = (node, lowering) => {
  const [x, dy] = node.inputs as [number, number];
  const output = node.outputs[0]!;
  const { block } = lowering;
  const { stride, padding, groups } = convAttributes(node.attrs);
  const [filters, channels, kernelHeight, kernelWidth] = lowering.shape(output) as Shape4;
  const [batch, , oh, ow] = lowering.shape(dy) as Shape4;
  if (groups !== 1 || filters % block !== 0) return false;
  if (channels % block !== 0 && channels > block) return false;
  if (kernelHeight === 1 && kernelWidth === 1 && padding === 0 && channels % block === 0) {
    lowering.setIn('filter', output, pointwiseFilterGrad(lowering, node, stride));
    return true;
  }
  const rowTiles = block / greatestCommonDivisor(batch, block);
  const tileRows = Math.ceil(oh / rowTiles);
  const sizes = { batch, channels, filters, oh, ow, kernelHeight, kernelWidth };
  const geometry: Geometry = { ...sizes, stride, padding, rowTiles, tileRows };
  if (channels % block === 0) lowering.setIn('filter', output, filterGrad(lowering, x, dy, geometry));
  else lowering.set(output, stemFilterGrad(lowering, x, dy, geometry));
  return true;
};

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** @returns dw [O, C, kH, kW] in the `filter` layout */
function filterGrad(lowering: BlockedLowering, x: number, dy: number, geometry: Geometry): string {
  const { onnx, block } = lowering;
  const { channels, filters, ow, kernelHeight, kernelWidth, stride } = geometry;
  let product: string | undefined;
  for (const chunk of chunks(geometry, block))
    product = blockedConv(
      lowering,
      packedChannels(lowering, x, geometry, chunk),
      gradientByChannel(lowering, dy, geometry, chunk),
      { kernel: [chunk.rows, ow], dilations: [stride, stride * block], addend: product },
    );
  // [C/B, O/B, kH, kW, B of C, B of O] to [O/B, C/B, ...]: B is the block size.
  const [inner, outer] = [channels / block, filters / block];
  const order = () =>
    Int32Array.from({ length: inner * outer }, (_, i) => (i % inner) * outer + Math.floor(i / inner));
  const view = lowering.reshape(product!, [inner * outer, kernelHeight * kernelWidth * block * block]);
  const transposed = onnx.op('Gather', [view, onnx.indices(`IO-transposed ${inner} ${outer}`, order)], {
    axis: 0,
  });
  return lowering.reshape(transposed, [filters, channels, kernelHeight, kernelWidth]);
}

/** The part of x that a chunk of dy is convolved with: [C/B, lanes, rows, columns B], B channels packed at each column. */
function packedChannels(lowering: BlockedLowering, x: number, geometry: Geometry, chunk: Chunk): string {
  const { block } = lowering;
  const { channels, ow, kernelHeight, kernelWidth, stride, padding, rowTiles, tileRows } = geometry;
  const tall = (chunk.rows - 1) * stride + kernelHeight;
  const wide = (ow - 1) * stride + kernelWidth;
  const key = `packed channels ${Object.values(geometry)} ${Object.values(chunk)}`;
  return lowering.once(`${x}: ${key}`, () => {
    const rows = gatherRows(lowering, x, key, (put) => {
      for (let c = 0; c < channels / block; c++)
        for (let first = chunk.firstLane; first < chunk.firstLane + chunk.lanes; first += block)
          for (let row = 0; row < tall; row++)
            for (let column = 0; column < wide; column++)
              for (let lane = first; lane < first + block; lane++) {
                const top = ((lane % rowTiles) * tileRows + chunk.firstRow) * stride - padding;
                put(Math.floor(lane / rowTiles), c, top + row, column - padding);
              }
    });
    const transposed = transposeBlocks(
      lowering,
      rows,
      (channels / block) * (chunk.lanes / block) * tall * wide,
    );
    return lowering.reshape(transposed, [channels / block, chunk.lanes, tall, wide * block]);
  });
}
