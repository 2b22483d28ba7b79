/** Gathers of whole blocks: a `data` value as rows of B channels, one for each pixel of each block of channels. */
import type { Shape4 } from '@moco-ts/core';
import type { BlockedLowering, RowOrder } from './lowering.ts';

/** Appends the row of an image's block of channels at a pixel; zeros for a place outside. */
export type Put = (image: number, block: number, row: number, column: number) => void;

/**
 * Rows of a `data` value [N, C, H, W] in another order. Gather copies rows in parallel, which Transpose and Pad don't.
 * @param key names the order: equal keys mean equal orders for values of one shape
 * @param write puts the rows one by one; called once for each key
 * @returns [rows, B], or as many elements in another shape
 */
export function gatherRows(
  lowering: BlockedLowering,
  value: number,
  key: string,
  write: (put: Put) => void,
): string {
  const { onnx, block } = lowering;
  const shape = lowering.shape(value) as Shape4;
  const [batch, channels, height, width] = shape;
  const rows = batch * (channels / block) * height * width;
  const name = `rows of [${shape}]: ${key}`;
  const { unit, runs, zeros } = lowering.order(name, () => rowOrder(shape, block, write));
  const view = lowering.once(`rows of ${value}: ${unit} ${zeros}`, () => {
    const plain = lowering.reshape(lowering.data(value), [rows / unit, unit * block]);
    return zeros ? onnx.op('Pad', [plain, onnx.ints([0, 0, 1, 0])]) : plain;
  });
  return onnx.op('Gather', [view, onnx.indices(name, () => runs)], { axis: 0 });
}

function rowOrder(
  [batch, channels, height, width]: Shape4,
  block: number,
  write: (put: Put) => void,
): RowOrder {
  const blocks = channels / block;
  const end = batch * blocks * height * width;
  const order: number[] = [];
  let zeros = false;
  write((image, of, row, column) => {
    const inside = image < batch && row >= 0 && row < height && column >= 0 && column < width;
    if (!inside) zeros = true;
    order.push(inside ? ((image * blocks + of) * height + row) * width + column : end);
  });
  const consecutive = (unit: number) => {
    if (order.length % unit !== 0) return false;
    return order.every((row, i) => (i % unit === 0 ? row % unit === 0 : row === order[i - 1]! + 1));
  };
  const units = zeros ? [] : [height * width, width, block].filter((unit) => end % unit === 0);
  const unit = units.find(consecutive) ?? 1;
  const runs = Int32Array.from({ length: order.length / unit }, (_, i) => order[i * unit]! / unit);
  return { unit, runs, zeros };
}

/**
 * The block transpose: exchanges the two innermost axes of [count, B, B], by a ReorderOutput, which is vectorised.
 */
export function transposeBlocks(lowering: BlockedLowering, name: string, count: number): string {
  const { block } = lowering;
  const view = lowering.reshape(name, [count, block, block, 1]);
  return lowering.onnx.op('ReorderOutput', [view], { channels: block }, 'com.microsoft.nchwc');
}
