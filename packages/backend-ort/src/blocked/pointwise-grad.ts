/**
 * The filter gradient of 1x1 convolutions as one 1x1 convolution: its channels are the positions of all pictures, its
 * picture is the channels of x. Under the filter dY [O, P] it gives [O, C], which lies as `filter` does.
 */
import type { Node, Shape4 } from '@moco-ts/core';
import { blockedConv } from './conv.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';

/** @returns dW [O, C, 1, 1] in the `filter` layout, for x and dY whose channels fill blocks. */
export function pointwiseFilterGrad(
  lowering: BlockedLowering,
  { inputs, outputs }: Node,
  stride: number,
): string {
  const [x, dy] = inputs as [number, number];
  const shape = lowering.shape(outputs[0]!) as Shape4;
  const pictures = positionsAsChannels(lowering, x, lowering.shape(dy) as Shape4, stride);
  return lowering.reshape(
    blockedConv(lowering, pictures, gradientFilter(lowering, dy), { kernel: [1, 1] }),
    shape,
  );
}

function roundUp(count: number, unit: number): number {
  return Math.ceil(count / unit) * unit;
}

/** dY [N, O, H, W] as the filter [O, P], P the positions rounded up to whole blocks. */
function gradientFilter(lowering: BlockedLowering, dy: number): string {
  const { onnx, block } = lowering;
  const [batch, filters, height, width] = lowering.shape(dy) as Shape4;
  const [pixels, blocks] = [height * width, filters / block];
  const positions = batch * pixels;
  const padded = roundUp(positions, block);
  // Whole maps are contiguous; the positions that fill up the last block, if any, meet zeros of x and may be any.
  const unit = padded === positions ? pixels : 1;
  const key = `maps by channel ${batch} ${blocks} ${pixels} ${unit}`;
  const order = () => {
    const rows = new Int32Array((blocks * padded) / unit);
    let at = 0;
    for (let o = 0; o < blocks; o++)
      for (let position = 0; position < padded; position += unit) {
        const [picture, pixel] = [Math.floor(position / pixels), position % pixels];
        rows[at++] = picture < batch ? ((picture * blocks + o) * pixels + pixel) / unit : 0;
      }
    return rows;
  };
  return lowering.once(`gradient filter of positions ${dy}`, () => {
    const view = lowering.reshape(lowering.data(dy), [(blocks * positions) / unit, unit * block]);
    const rows = onnx.op('Gather', [view, onnx.indices(key, order)], { axis: 0 });
    return lowering.reshape(rows, [filters, padded, 1, 1]);
  });
}

/** x [N, C, H, W] as [1, P, C/B, B], P the positions that dY has, rounded up to whole blocks by zeros. */
function positionsAsChannels(
  lowering: BlockedLowering,
  x: number,
  [, , oh, ow]: Shape4,
  stride: number,
): string {
  const { onnx, block } = lowering;
  const [batch, channels, height, width] = lowering.shape(x) as Shape4;
  const [pixels, blocks] = [height * width, channels / block];
  const positions = batch * oh * ow;
  const padded = roundUp(positions, block);
  const unit = stride === 1 && pixels % block === 0 ? block : 1;
  const zero = batch * blocks * pixels;
  const key = `blocks of positions ${batch} ${blocks} ${height} ${width} ${stride} ${unit}`;
  const order = () => {
    const rows = new Int32Array((blocks * padded) / unit);
    let at = 0;
    for (let first = 0; first < padded; first += block)
      for (let c = 0; c < blocks; c++)
        for (let position = first; position < first + block; position += unit) {
          const [picture, place] = [Math.floor(position / (oh * ow)), position % (oh * ow)];
          const pixel = Math.floor(place / ow) * stride * width + (place % ow) * stride;
          rows[at++] = picture < batch ? ((picture * blocks + c) * pixels + pixel) / unit : zero;
        }
    return rows;
  };
  return lowering.once(`positions as channels ${x} ${stride}`, () => {
    let view = lowering.reshape(lowering.data(x), [zero / unit, unit * block]);
    if (padded > positions) view = onnx.op('Pad', [view, onnx.ints([0, 0, 1, 0])]);
    const rows = onnx.op('Gather', [view, onnx.indices(key, order)], { axis: 0 });
    // ReorderOutput exchanges the two innermost axes, block x block at a time: a vectorised transpose.
    const blocked = lowering.reshape(rows, [(padded / block) * blocks, block, block, 1]);
    const turned = onnx.op('ReorderOutput', [blocked], { channels: block }, nchwc);
    return lowering.reshape(turned, [1, padded, blocks, block]);
  });
}
