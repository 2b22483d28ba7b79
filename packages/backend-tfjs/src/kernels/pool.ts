/** Max-pooling. Its gradient is composed of kernels that all backends have: that of wasm is missing or wrong. */
import { type Attributes, poolAttributes, type Shape4 } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Kernels } from './kernel.ts';
import { asLast, fromLast } from './layout.ts';
import { around, tap, untap } from './windows.ts';

export const pool: Kernels = {
  maxPool2d: ([x], attrs) => {
    const { kernel, stride } = poolAttributes(attrs);
    return fromLast(tf.maxPool(windows(x!, attrs), kernel, stride, 'valid'), attrs);
  },
  maxPool2dGrad: ([dy, x, y], attrs) => {
    const { kernel, stride, padding } = poolAttributes(attrs);
    const padded = windows(x!, attrs);
    const [batch, height, width, channels] = padded.shape;
    const [gradient, largest] = [asLast(dy!, attrs), asLast(y!, attrs)];
    const [, oh, ow] = gradient.shape;
    let left: tf.Tensor = tf.onesLike(gradient);
    let total: tf.Tensor = tf.zeros([batch, height, width, channels]);
    for (let row = 0; row < kernel; row++)
      for (let column = 0; column < kernel; column++) {
        // The first largest element of a window takes its gradient.
        const isLargest = tf.cast(tf.equal(tap(padded, row, column, stride, oh, ow), largest), 'float32');
        const wins = tf.mul(isLargest, left);
        left = tf.sub(left, wins);
        total = tf.add(total, untap(tf.mul(gradient, wins), row, column, stride, height, width));
      }
    const inside: Shape4 = [batch, height - 2 * padding, width - 2 * padding, channels];
    return fromLast(tf.slice(total, [0, padding, padding, 0], [...inside]), attrs);
  },
};

/** x as [N, H, W, C], with a border that never wins. */
function windows(x: tf.Tensor, attrs: Attributes): tf.Tensor4D {
  const { padding } = poolAttributes(attrs);
  const last = asLast(x, attrs);
  return padding === 0 ? last : tf.pad(last, around(padding) as [number, number][], -3.4028234663852886e38);
}
