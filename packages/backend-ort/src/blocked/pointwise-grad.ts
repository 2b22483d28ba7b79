/**
 * The filter gradient of 1x1 convolutions as one 1x1 convolution: its channels are the positions of all images, its
 * image is the channels of x. With dy [O, P] as its filter it gives [O, C], in the memory order of the `filter` layout.
 */
import type { Node, Shape4 } from '@moco-ts/core';
import type { BlockedLowering } from './lowering.ts';
import { blockedConv } from './nchwc-conv.ts';
import { gatherRows, type Put, transposeBlocks } from './rows.ts';

/** @returns dw [O, C, 1, 1] in the `filter` layout, for x and dy whose channels fill blocks. */
export function pointwiseFilterGrad(
  lowering: BlockedLowering,
  { inputs, outputs }: Node,
  stride: number,
): string {
  const [x, dy] = inputs as [number, number];
  const shape = lowering.shape(outputs[0]!) as Shape4;
  const images = positionsAsChannels(lowering, x, lowering.shape(dy) as Shape4, stride);
  const product = blockedConv(lowering, images, gradientFilter(lowering, dy), { kernel: [1, 1] });
  return lowering.reshape(product, shape);
}

/** Some of the positions of all images; those past the end are in no image. */
function eachPosition(
  [, , height, width]: Shape4,
  first: number,
  count: number,
  visit: (image: number, row: number, column: number) => void,
): void {
  const pixels = height * width;
  for (let position = first; position < first + count; position++) {
    const pixel = position % pixels;
    visit(Math.floor(position / pixels), Math.floor(pixel / width), pixel % width);
  }
}

function roundedPositions([batch, , height, width]: Shape4, block: number): number {
  return Math.ceil((batch * height * width) / block) * block;
}

/** dy [N, O, H, W] as the filter [O, P]. */
function gradientFilter(lowering: BlockedLowering, dy: number): string {
  const { block } = lowering;
  const shape = lowering.shape(dy) as Shape4;
  const [batch, filters] = shape;
  const positions = roundedPositions(shape, block);
  return lowering.once(`gradient filter of positions ${dy}`, () => {
    const rows = gatherRows(lowering, dy, 'positions by channel', (put) => {
      for (let o = 0; o < filters / block; o++)
        eachPosition(shape, 0, positions, (image, row, column) => {
          // Past the end x is zero and dy any number: only one of the two must be.
          put(image % batch, o, row, column);
        });
    });
    return lowering.reshape(rows, [filters, positions, 1, 1]);
  });
}

/** x [N, C, H, W] as [1, P, C/B, B], at the positions that dy has, zeros past the end. */
function positionsAsChannels(
  lowering: BlockedLowering,
  x: number,
  positionsOf: Shape4,
  stride: number,
): string {
  const { block } = lowering;
  const blocks = lowering.shape(x)[1]! / block;
  const positions = roundedPositions(positionsOf, block);
  const write = (put: Put) => {
    for (let first = 0; first < positions; first += block)
      for (let c = 0; c < blocks; c++)
        eachPosition(positionsOf, first, block, (image, row, column) => {
          put(image, c, row * stride, column * stride);
        });
  };
  return lowering.once(`positions as channels ${x} ${stride}`, () => {
    const rows = gatherRows(lowering, x, `blocks of positions, each ${stride}`, write);
    const transposed = transposeBlocks(lowering, rows, (positions / block) * blocks);
    return lowering.reshape(transposed, [1, positions, blocks, block]);
  });
}
