/** What windows over images share. tfjs has the channels last: [N, H, W, C]. */
import type { Shape4 } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';

type Explicit = [[number, number], [number, number], [number, number], [number, number]];
export const around = (padding: number): Explicit => [
  [0, 0],
  [padding, padding],
  [padding, padding],
  [0, 0],
];

/** What each tap of a window meets: x [N, H, W, C], padded, at (row + s i, column + s j) for all i, j. */
export function tap(
  x: tf.Tensor,
  row: number,
  column: number,
  stride: number,
  oh: number,
  ow: number,
): tf.Tensor {
  const [batch, , , channels] = x.shape as Shape4;
  const end = [batch, row + (oh - 1) * stride + 1, column + (ow - 1) * stride + 1, channels];
  return tf.stridedSlice(x, [0, row, column, 0], end, [1, stride, stride, 1]);
}

/** The adjoint of {@link tap}: y [N, OH, OW, C] at those places of zeros of the given size. */
export function untap(
  y: tf.Tensor,
  row: number,
  column: number,
  stride: number,
  height: number,
  width: number,
): tf.Tensor {
  const [batch, oh, ow, channels] = y.shape as Shape4;
  const zeros = (x: tf.Tensor, after: number) =>
    tf.pad(x, [
      [0, 0],
      [0, after],
      [0, 0],
    ]);
  const columns = zeros(tf.reshape(y, [batch * oh * ow, 1, channels]), stride - 1);
  const rows = zeros(tf.reshape(columns, [batch * oh, 1, ow * stride * channels]), stride - 1);
  const [tall, wide] = [oh * stride, ow * stride];
  const zeroInserted = tf.reshape(rows, [batch, tall, wide, channels]);
  // The zeros after the last row and column may reach past the end.
  const [keepTall, keepWide] = [Math.min(tall, height - row), Math.min(wide, width - column)];
  const cut = tf.slice(zeroInserted, [0, 0, 0, 0], [batch, keepTall, keepWide, channels]);
  return tf.pad(cut, [
    [0, 0],
    [row, height - row - keepTall],
    [column, width - column - keepWide],
    [0, 0],
  ]);
}
