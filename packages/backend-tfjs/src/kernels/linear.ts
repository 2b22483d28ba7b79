/**
 * Matrix products, convolutions and pooling. tfjs convolves [N, H, W, C]; gradients that some backend lacks or has wrong
 * (Conv2DBackpropFilter and the max-pool's gradient in wasm) are composed of kernels that all have.
 */
import { convAttributes, poolAttributes, type Shape4 } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { dims, type Kernels } from './kernel.ts';

const toLast = (x: tf.Tensor) => tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D;
const toSecond = (x: tf.Tensor) => tf.transpose(x, [0, 3, 1, 2]);
/** [O, I, kH, kW] to [kH, kW, I, O]. */
const toFilter = (w: tf.Tensor) => tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D;

type Explicit = [[number, number], [number, number], [number, number], [number, number]];
const around = (padding: number): Explicit => [
  [0, 0],
  [padding, padding],
  [padding, padding],
  [0, 0],
];

/** Parts of equal size along an axis. */
const parts = (x: tf.Tensor, groups: number, axis: number) =>
  groups === 1 ? [x] : tf.split(x, groups, axis);
const joined = (pieces: tf.Tensor[], axis: number) =>
  pieces.length === 1 ? pieces[0]! : tf.concat(pieces, axis);

/** What each tap of a window meets: x [N, H, W, C], padded, at (row + s i, column + s j) for all i, j. */
function tap(x: tf.Tensor, row: number, column: number, stride: number, oh: number, ow: number): tf.Tensor {
  const [batch, , , channels] = x.shape as Shape4;
  const end = [batch, row + (oh - 1) * stride + 1, column + (ow - 1) * stride + 1, channels];
  return tf.stridedSlice(x, [0, row, column, 0], end, [1, stride, stride, 1]);
}

/** The adjoint of {@link tap}: y [N, OH, OW, C] at those places of zeros of the given size. */
function untap(
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
  const spread = tf.reshape(rows, [batch, tall, wide, channels]);
  // The zeros after the last row and column may reach past the end.
  const [keepTall, keepWide] = [Math.min(tall, height - row), Math.min(wide, width - column)];
  const cut = tf.slice(spread, [0, 0, 0, 0], [batch, keepTall, keepWide, channels]);
  return tf.pad(cut, [
    [0, 0],
    [row, height - row - keepTall],
    [column, width - column - keepWide],
    [0, 0],
  ]);
}

/** Whether TensorFlow's own library computes: it pads no gradient itself, and has a fast one of filters. */
const isNative = () => tf.getBackend() === 'tensorflow';

/** The input gradient of a convolution of padded pictures, without the border. */
function transposedInside(
  dy: tf.Tensor4D,
  filter: tf.Tensor4D,
  [batch, height, width, channels]: [number, number, number, number],
  stride: number,
  padding: number,
): tf.Tensor {
  const whole: typeof dy.shape = [batch, height + 2 * padding, width + 2 * padding, channels];
  const padded = tf.conv2dTranspose(dy, filter, whole, stride, 'valid');
  return tf.slice(padded, [0, padding, padding, 0], [batch, height, width, channels]);
}

export const linear: Kernels = {
  matmul: ([a, b], { transposeA, transposeB }) => tf.matMul(a!, b!, transposeA === true, transposeB === true),
  conv2d: ([x, w], attrs) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const filters = parts(w!, groups, 0);
    const pieces = parts(toLast(x!), groups, 3).map((piece, g) =>
      tf.conv2d(piece as tf.Tensor4D, toFilter(filters[g]!), stride, around(padding)),
    );
    return toSecond(joined(pieces, 3));
  },
  conv2dInputGrad: ([dy, w], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const [batch, channels, height, width] = type!.shape as Shape4;
    const filters = parts(w!, groups, 0);
    const shape: [number, number, number, number] = [batch, height, width, channels / groups];
    const pieces = parts(toLast(dy!), groups, 3).map((piece, g) =>
      isNative()
        ? transposedInside(piece as tf.Tensor4D, toFilter(filters[g]!), shape, stride, padding)
        : tf.conv2dTranspose(piece as tf.Tensor4D, toFilter(filters[g]!), shape, stride, around(padding)),
    );
    return toSecond(joined(pieces, 3));
  },
  conv2dFilterGrad: ([x, dy], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const [filters, perGroup, kernelHeight, kernelWidth] = type!.shape as Shape4;
    const [, , oh, ow] = dy!.shape as Shape4;
    const gradients = parts(toLast(dy!), groups, 3).map((part) => tf.reshape(part, [-1, filters / groups]));
    const padded = tf.pad(toLast(x!), around(padding));
    if (isNative()) {
      const filterShape = [kernelHeight, kernelWidth, perGroup, filters / groups];
      const settings = { strides: stride, pad: 'valid', dataFormat: 'NHWC', filterShape };
      const slopes = parts(toLast(dy!), groups, 3);
      const pieces = parts(padded, groups, 3).map((part, g) => {
        const given = { x: part, dy: slopes[g]! };
        const found = tf.engine().runKernel(tf.Conv2DBackpropFilter, given, settings) as tf.Tensor;
        return tf.transpose(found, [3, 2, 0, 1]);
      });
      return joined(pieces, 0);
    }
    const pieces = parts(padded, groups, 3).map((part, g) => {
      const taps: tf.Tensor[] = [];
      for (let row = 0; row < kernelHeight; row++)
        for (let column = 0; column < kernelWidth; column++) {
          const met = tf.reshape(tap(part, row, column, stride, oh, ow), [-1, perGroup]);
          taps.push(tf.matMul(gradients[g]!, met, true, false));
        }
      // [taps, O/g, I/g] to [O/g, I/g, taps].
      return tf.transpose(tf.stack(taps), [1, 2, 0]);
    });
    return tf.reshape(joined(pieces, 0), dims(type!.shape));
  },
  maxPool2d: ([x], attrs) => {
    const { kernel, stride } = poolAttributes(attrs);
    return toSecond(tf.maxPool(windows(x!, attrs) as tf.Tensor4D, kernel, stride, 'valid'));
  },
  maxPool2dGrad: ([dy, x, y], attrs) => {
    const { kernel, stride, padding } = poolAttributes(attrs);
    const [, , oh, ow] = dy!.shape as Shape4;
    const padded = windows(x!, attrs);
    const [batch, height, width, channels] = padded.shape as Shape4;
    const [gradient, largest] = [toLast(dy!), toLast(y!)];
    let left: tf.Tensor = tf.onesLike(gradient);
    let total: tf.Tensor = tf.zeros([batch, height, width, channels]);
    for (let row = 0; row < kernel; row++)
      for (let column = 0; column < kernel; column++) {
        // The first largest element of a window takes its gradient.
        const found = tf.cast(tf.equal(tap(padded, row, column, stride, oh, ow), largest), 'float32');
        const wins = tf.mul(found, left);
        left = tf.sub(left, wins);
        total = tf.add(total, untap(tf.mul(gradient, wins), row, column, stride, height, width));
      }
    const inside: Shape4 = [batch, height - 2 * padding, width - 2 * padding, channels];
    return toSecond(tf.slice(total, [0, padding, padding, 0], [...inside]));
  },
};

/** x as [N, H, W, C], with a border that never wins. */
function windows(x: tf.Tensor, attrs: Parameters<typeof poolAttributes>[0]): tf.Tensor {
  const { padding } = poolAttributes(attrs);
  const last = toLast(x);
  return padding === 0 ? last : tf.pad(last, around(padding) as [number, number][], -3.4028234663852886e38);
}
