/** The filter gradient where x has fewer channels than a block, as in a stem. See filter-grad.ts. */
import type { Shape4 } from '@moco-ts/core';
import { type Chunk, chunks, type Geometry, gradientByChannel } from './lanes.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';
import { blockedConv } from './nchwc-conv.ts';

/** @returns dw [O, C, kH, kW], in the plain layout */
export function stemFilterGrad(lowering: BlockedLowering, x: number, dy: number, geometry: Geometry): string {
  const { onnx } = lowering;
  let product: string | undefined;
  for (const chunk of chunks(geometry, lowering.block))
    product = blockedConv(
      lowering,
      lanesByChannel(lowering, x, geometry, chunk),
      gradientByChannel(lowering, dy, geometry, chunk),
      { kernel: [chunk.rows, geometry.ow], dilations: [geometry.stride, geometry.stride], addend: product },
    );
  const plain = onnx.op('ReorderOutput', [product!], { channels: geometry.filters }, nchwc);
  return lowering.transpose(plain, [1, 0, 2, 3]);
}

/** The part of x that a chunk of dy is convolved with, one image per channel: [C, lanes, rows, columns]. */
function lanesByChannel(lowering: BlockedLowering, x: number, geometry: Geometry, chunk: Chunk): string {
  const { onnx, block } = lowering;
  const { channels, ow, kernelHeight, kernelWidth, stride, padding, rowTiles, tileRows } = geometry;
  const [batch, , height, width] = lowering.shape(x) as Shape4;
  const tall = (chunk.rows - 1) * stride + kernelHeight;
  const wide = (ow - 1) * stride + kernelWidth;
  const laneBlocks = chunk.lanes / block;
  const key = `lines of lanes ${Object.values(geometry)} ${Object.values(chunk)}`;
  const order = () => {
    const lines: number[] = [];
    for (let c = 0; c < channels; c++)
      for (let lane = chunk.firstLane; lane < chunk.firstLane + chunk.lanes; lane++)
        for (let row = 0; row < tall; row++) {
          const line = ((lane % rowTiles) * tileRows + chunk.firstRow) * stride - padding + row;
          const image = Math.floor(lane / rowTiles) * channels + c;
          const inside = line >= 0 && line < height;
          lines.push(inside ? image * height + line : batch * channels * height);
        }
    return Int32Array.from(lines);
  };
  return lowering.once(`${x}: ${key}`, () => {
    const padded = lowering.once(`padded lines of ${x}: ${padding} ${wide}`, () => {
      const plain = lowering.reshape(lowering.get(x), [batch * channels * height, width]);
      // The additional last line, of zeros, stands in for every line outside the image.
      return onnx.op('Pad', [plain, onnx.ints([0, padding, 1, wide - width - padding])]);
    });
    const lines = onnx.op('Gather', [padded, onnx.indices(key, order)], { axis: 0 });
    const blocked = lowering.blockData(lowering.reshape(lines, [channels * laneBlocks, block, tall, wide]));
    return lowering.reshape(blocked, [channels, chunk.lanes, tall, wide]);
  });
}
