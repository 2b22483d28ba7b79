/**
 * The filter gradient as convolutions whose channels are the batch: the pictures by channel [C, N, H, W] under the filter
 * dY by channel [O, N, OH, OW], dilated by the stride, give [C, O, kH, kW].
 */
import { convAttributes, type Shape4 } from '@moco-ts/core';
import { blockedConv } from './conv.ts';
import { type BlockedLowering, nchwc } from './lowering.ts';
import { pointwiseFilterGrad } from './pointwise-grad.ts';
import type { BlockedRule } from './rules.ts';

/** One gradient's geometry. Pictures are [C, N, height, width] before padding. */
interface Geometry {
  readonly batch: number;
  readonly channels: number;
  readonly filters: number;
  readonly height: number;
  readonly width: number;
  readonly oh: number;
  readonly ow: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
}

/** A part of the sum over pictures and rows of dY. */
interface Chunk {
  readonly firstPicture: number;
  readonly pictures: number;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * Pictures times positions of dY in one chunk: 64 filters of it are 1 MiB, which stays in a core's second-level cache
 * while every channel's pictures pass by. Without chunks the whole of dY streams from memory for each channel and row.
 */
const chunkPositions = 4096;

export const conv2dFilterGrad: BlockedRule = (node, lowering) => {
  const [x, dy] = node.inputs as [number, number];
  const output = node.outputs[0]!;
  const { block, onnx } = lowering;
  const { stride, padding, groups } = convAttributes(node.attrs);
  const [filters, channels, kernelHeight, kernelWidth] = lowering.shape(output) as Shape4;
  const [batch, , height, width] = lowering.shape(x) as Shape4;
  const [, , oh, ow] = lowering.shape(dy) as Shape4;
  if (groups !== 1 || filters % block !== 0) return false;
  if (kernelHeight === 1 && kernelWidth === 1 && padding === 0 && channels % block === 0) {
    lowering.setIn('filter', output, pointwiseFilterGrad(lowering, node, stride));
    return true;
  }
  if (batch % block !== 0) return false;
  const geometry = {
    batch,
    channels,
    filters,
    height,
    width,
    oh,
    ow,
    kernelHeight,
    kernelWidth,
    stride,
    padding,
  };
  const pictures = picturesInside(lowering, lowering.get(x), geometry);
  let product: string | undefined;
  for (const chunk of chunks(geometry, block))
    product = blockedConv(
      lowering,
      picturesByChannel(lowering, pictures, geometry, chunk),
      gradientByChannel(lowering, dy, geometry, chunk),
      { kernel: [chunk.rows, ow], dilation: geometry.stride, addend: product },
    );
  const shape = lowering.shape(output);
  if (channels % block === 0) {
    const taps = kernelHeight * kernelWidth;
    const view = lowering.reshape(product!, [channels / block, block, filters / block, taps, block]);
    const turned = lowering.transpose(view, [2, 0, 3, 1, 4]);
    lowering.setIn('filter', output, lowering.reshape(turned, shape));
  } else {
    const plain = onnx.op('ReorderOutput', [product!], { channels: filters }, nchwc);
    lowering.set(output, lowering.transpose(plain, [1, 0, 2, 3]));
  }
  return true;
};

function chunks({ batch, oh, ow }: Geometry, block: number): Chunk[] {
  const blocks = batch / block;
  const perChunk = Math.max(1, Math.floor(chunkPositions / (block * oh * ow)));
  const rows = Math.max(1, Math.min(oh, Math.floor(chunkPositions / (block * ow))));
  const found: Chunk[] = [];
  for (let b = 0; b < blocks; b += perChunk)
    for (let row = 0; row < oh; row += rows)
      found.push({
        firstPicture: b * block,
        pictures: Math.min(perChunk, blocks - b) * block,
        firstRow: row,
        rows: Math.min(rows, oh - row),
      });
  return found;
}

/** [N, C, H, W] as [N/B, C, H, W B]: blocks of pictures become the innermost axis. */
function picturesInside(lowering: BlockedLowering, plain: string, geometry: Geometry): string {
  const { block } = lowering;
  const { batch, channels, height, width } = geometry;
  return lowering.once(`pictures inside ${plain}`, () => {
    const view = lowering.reshape(plain, [batch / block, block, channels, height * width]);
    return lowering.reshape(lowering.blockData(view), [batch / block, channels, height, width * block]);
  });
}

/** The rows of some pictures that a chunk of dY meets: [C, pictures, rows, columns], zeros outside the pictures. */
function picturesByChannel(
  lowering: BlockedLowering,
  inside: string,
  geometry: Geometry,
  { firstPicture, pictures, firstRow, rows }: Chunk,
): string {
  const { onnx, block } = lowering;
  const { batch, channels, height, width, ow, kernelHeight, kernelWidth, stride, padding } = geometry;
  const top = padding - firstRow * stride;
  const tall = (rows - 1) * stride + kernelHeight;
  const wide = (ow - 1) * stride + kernelWidth;
  const before = [-firstPicture / block, 0, top, padding * block];
  const last = (firstPicture + pictures - batch) / block;
  const after = [last, 0, tall - height - top, (wide - width - padding) * block];
  const pads = [...before, ...after];
  return lowering.once(`by channel ${inside} ${pads}`, () => {
    // Negative amounts cut off: one pass both pads and takes the chunk.
    const cut = pads.every((amount) => amount === 0) ? inside : onnx.op('Pad', [inside, onnx.ints(pads)]);
    const turned = pictures === block ? cut : lowering.transpose(cut, [1, 0, 2, 3]);
    return lowering.reshape(turned, [channels, pictures, tall, wide]);
  });
}

/** A chunk of dY [N, O, OH, OW] as a filter of O outputs and its pictures as inputs. */
function gradientByChannel(
  lowering: BlockedLowering,
  dy: number,
  { batch, filters, oh, ow }: Geometry,
  { firstPicture, pictures, firstRow, rows }: Chunk,
): string {
  const { onnx, block } = lowering;
  const key = `${batch} ${filters} ${oh} ${ow} ${firstPicture} ${pictures} ${firstRow} ${rows}`;
  // Gather copies whole blocks of filters in parallel, which Transpose does not.
  const order = () => {
    const positions = new Int32Array((filters / block) * pictures * rows * ow);
    let at = 0;
    for (let o = 0; o < filters / block; o++)
      for (let outer = 0; outer < pictures; outer += block)
        for (let position = firstRow * ow; position < (firstRow + rows) * ow; position++)
          for (let inner = 0; inner < block; inner++)
            positions[at++] = ((firstPicture + outer + inner) * (filters / block) + o) * oh * ow + position;
    return positions;
  };
  return lowering.once(`gradient filter ${dy} ${key}`, () => {
    const view = lowering.reshape(lowering.data(dy), [batch * (filters / block) * oh * ow, block]);
    const gathered = onnx.op('Gather', [view, onnx.indices(key, order)], { axis: 0 });
    return lowering.reshape(gathered, [filters, pictures, rows, ow]);
  });
}
