/**
 * Convolutions of small images. The kernels take six columns at a time under one load of the filter, and go through the
 * whole filter once for each image: maps of a few columns run at half speed. So images are packed along the width,
 * one column of each after the other, and the filter's columns are that far apart: its dilation.
 */
import type { Shape, Shape4 } from '@moco-ts/core';
import type { BlockedLowering } from './lowering.ts';
import { blockedConv } from './nchwc-conv.ts';
import { gatherRows, type Put } from './rows.ts';

/** Beyond this many columns the two gathers cost what the kernel gains (docs/performance.md). */
const widest = 8;

/** Images packed at most: with more, a line of results leaves the L1 cache. */
const mostImages = 16;

export interface SmallConvOptions {
  readonly kernel: readonly [height: number, width: number];
  /** Top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
  /** The result, [N, O, OH, OW]. */
  readonly shape: Shape;
}

/** The convolution of a value under a filter in the `filter` layout, stride 1; undefined where the direct form is as fast. */
export function smallConv(
  lowering: BlockedLowering,
  x: number,
  filter: string,
  { kernel, pads, shape }: SmallConvOptions,
): string | undefined {
  const { onnx, block } = lowering;
  const [batch, channels, height, width] = lowering.shape(x) as Shape4;
  const [, filters, oh, ow] = shape as Shape4;
  const packed = packedImages(batch, kernel, height * width);
  if (width > widest || packed === 1) return undefined;
  const [top, left, bottom, right] = pads;
  const key = `packed ${packed} ${left} ${right}`;
  const write = (put: Put) => {
    for (let first = 0; first < batch; first += packed)
      for (let c = 0; c < channels / block; c++)
        for (let row = 0; row < height; row++)
          for (let column = -left; column < width + right; column++)
            for (let image = first; image < first + packed; image++) put(image, c, row, column);
  };
  const wide = lowering.once(`${x} ${key}`, () =>
    lowering.reshape(gatherRows(lowering, x, key, write), [
      batch / packed,
      channels,
      height,
      (left + width + right) * packed,
    ]),
  );
  const product = blockedConv(lowering, wide, filter, {
    kernel,
    pads: [top, 0, bottom, 0],
    dilations: [1, packed],
  });
  const order = () => backOrder([batch, filters / block, oh, ow], packed);
  const rows = lowering.reshape(product, [batch * (filters / block) * oh * ow, block]);
  const back = onnx.indices(`unpacked from ${packed} ${batch} ${filters} ${oh} ${ow}`, order);
  return lowering.reshape(onnx.op('Gather', [rows, back], { axis: 0 }), shape);
}

function packedImages(batch: number, [kernelHeight, kernelWidth]: readonly number[], pixels: number): number {
  // Without neighbours all images are one line; where that is long already, nothing is gained.
  if (kernelHeight === 1 && kernelWidth === 1) return pixels <= 16 ? batch : 1;
  let most = Math.min(batch, mostImages);
  while (batch % most !== 0) most--;
  return most;
}

/** Where each row of [N, O/B, OH, OW] is in [N/A, O/B, OH, OW, A]. */
function backOrder([batch, blocks, oh, ow]: Shape4, packed: number): Int32Array {
  const rows = new Int32Array(batch * blocks * oh * ow);
  let at = 0;
  for (let image = 0; image < batch; image++)
    for (let o = 0; o < blocks; o++)
      for (let pixel = 0; pixel < oh * ow; pixel++) {
        const plane = Math.floor(image / packed) * blocks + o;
        rows[at++] = (plane * oh * ow + pixel) * packed + (image % packed);
      }
  return rows;
}
