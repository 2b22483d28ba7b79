/**
 * Convolutions and their gradients. Which kernels are quick, or there at all, depends on what tfjs computes on: wasm has no
 * gradient of filters and a slow one of inputs, TensorFlow's library has both.
 */
import { convAttributes, type Shape4 } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { dims, type Kernels } from './kernel.ts';
import { asLast, fromLast, lastShape } from './layout.ts';
import { around, tap, untap } from './windows.ts';

type Size4 = [number, number, number, number];

/** [O, I, kH, kW] to [kH, kW, I, O]. */
const toFilter = (w: tf.Tensor) => tf.transpose(w, [2, 3, 1, 0]) as tf.Tensor4D;

/** Parts of equal size along an axis. */
const parts = (x: tf.Tensor, groups: number, axis: number) =>
  groups === 1 ? [x] : tf.split(x, groups, axis);
const joined = (pieces: tf.Tensor[], axis: number) =>
  pieces.length === 1 ? pieces[0]! : tf.concat(pieces, axis);

export const conv: Kernels = {
  conv2d: ([x, w], attrs) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const filters = parts(w!, groups, 0);
    const pieces = parts(asLast(x!, attrs), groups, 3).map((piece, g) =>
      tf.conv2d(piece as tf.Tensor4D, toFilter(filters[g]!), stride, around(padding)),
    );
    return fromLast(joined(pieces, 3), attrs);
  },
  conv2dInputGrad: ([dy, w], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const [batch, height, width, channels] = lastShape(type!.shape, attrs);
    const filters = parts(w!, groups, 0);
    const shape: Size4 = [batch, height, width, channels / groups];
    const pieces = parts(asLast(dy!, attrs), groups, 3).map((piece, g) =>
      inputGradient(piece as tf.Tensor4D, filters[g] as tf.Tensor4D, shape, stride, padding),
    );
    return fromLast(joined(pieces, 3), attrs);
  },
  conv2dFilterGrad: ([x, dy], attrs, [type]) => {
    const { stride, padding, groups } = convAttributes(attrs);
    const [filters, ...rest] = type!.shape as Shape4;
    const shape: Size4 = [filters / groups, ...rest];
    const gradient = filterGradients[tf.getBackend()] ?? filterGradientByTaps;
    const slopes = parts(asLast(dy!, attrs), groups, 3);
    const pieces = parts(asLast(x!, attrs), groups, 3).map((part, g) =>
      gradient(part as tf.Tensor4D, slopes[g] as tf.Tensor4D, shape, stride, padding),
    );
    return joined(pieces, 0);
  },
};

/** @param dy [N, OH, OW, O] @param w [O, I, kH, kW] @param shape of the input, [N, H, W, I] */
function inputGradient(
  dy: tf.Tensor4D,
  w: tf.Tensor4D,
  shape: Size4,
  stride: number,
  padding: number,
): tf.Tensor {
  const [, , kernelHeight, kernelWidth] = w.shape;
  switch (tf.getBackend()) {
    case 'tensorflow': {
      // It knows no explicit padding here: with the border, which is cut off.
      const [batch, height, width, channels] = shape;
      const paddedSize: Size4 = [batch, height + 2 * padding, width + 2 * padding, channels];
      const padded = tf.conv2dTranspose(dy, toFilter(w), paddedSize, stride, 'valid');
      return tf.slice(padded, [0, padding, padding, 0], shape);
    }
    case 'wasm':
      if (padding < Math.min(kernelHeight, kernelWidth))
        return inputGradientByConvolution(dy, w, shape, stride, padding);
  }
  return tf.conv2dTranspose(dy, toFilter(w), shape, stride, around(padding));
}

/** The convolution of dy (zero-inserted for a stride) with the flipped filters: ten times as fast in wasm. */
function inputGradientByConvolution(
  dy: tf.Tensor4D,
  w: tf.Tensor4D,
  [, height, width]: Size4,
  stride: number,
  padding: number,
): tf.Tensor {
  const [filters, channels, kernelHeight, kernelWidth] = w.shape;
  const [, oh, ow] = dy.shape;
  const [tall, wide] = [(oh - 1) * stride + 1, (ow - 1) * stride + 1];
  const zeroInserted = stride === 1 ? dy : (untap(dy, 0, 0, stride, tall, wide) as tf.Tensor4D);
  // Gathers the taps in reverse order as rows of a matrix, which is faster than tf.reverse.
  const taps = kernelHeight * kernelWidth;
  const rows = tf.transpose(tf.reshape(w, [filters * channels, taps]));
  const reversed = joined(parts(rows, taps, 0).reverse(), 0);
  const filter = tf.reshape(reversed, [kernelHeight, kernelWidth, filters, channels]) as tf.Tensor4D;
  const border = (kernel: number, extent: number, insertedExtent: number): [number, number] => [
    kernel - 1 - padding,
    extent - insertedExtent + padding,
  ];
  return tf.conv2d(zeroInserted, filter, 1, [
    [0, 0],
    border(kernelHeight, height, tall),
    border(kernelWidth, width, wide),
    [0, 0],
  ]);
}

/** @param x [N, H, W, I] @param dy [N, OH, OW, O] @param shape of the filters, [O, I, kH, kW] */
type FilterGradient = (
  x: tf.Tensor4D,
  dy: tf.Tensor4D,
  shape: Size4,
  stride: number,
  padding: number,
) => tf.Tensor;

/** Of the input by dy, with images for channels and channels for images: half the time of {@link filterGradientByTaps}. */
const filterGradientByConvolution: FilterGradient = (x, dy, shape, stride, padding) => {
  const [filters, channels, kernelHeight, kernelWidth] = shape;
  const images = tf.transpose(x, [3, 1, 2, 0]);
  const slopes = tf.transpose(dy, [1, 2, 0, 3]);
  // [I, kH, kW, O], and rows and columns that the windows left out.
  const gradient = tf.conv2d(images, slopes, 1, around(padding), 'NHWC', stride);
  const windows = tf.slice(gradient, [0, 0, 0, 0], [channels, kernelHeight, kernelWidth, filters]);
  return tf.transpose(windows, [3, 0, 1, 2]);
};

/** TensorFlow's own. */
const filterGradientNative: FilterGradient = (x, dy, shape, stride, padding) => {
  const [filters, channels, kernelHeight, kernelWidth] = shape;
  const filterShape = [kernelHeight, kernelWidth, channels, filters];
  const settings = { strides: stride, pad: 'valid', dataFormat: 'NHWC', filterShape };
  const given = { x: tf.pad(x, around(padding)), dy };
  const gradient = tf.engine().runKernel(tf.Conv2DBackpropFilter, given, settings) as tf.Tensor;
  return tf.transpose(gradient, [3, 2, 0, 1]);
};

/** By matrix products, one for each place in the window. */
const filterGradientByTaps: FilterGradient = (x, dy, shape, stride, padding) => {
  const [filters, channels, kernelHeight, kernelWidth] = shape;
  const [, oh, ow] = dy.shape;
  const padded = tf.pad(x, around(padding));
  const gradient = tf.reshape(dy, [-1, filters]);
  const taps: tf.Tensor[] = [];
  for (let row = 0; row < kernelHeight; row++)
    for (let column = 0; column < kernelWidth; column++) {
      const met = tf.reshape(tap(padded, row, column, stride, oh, ow), [-1, channels]);
      taps.push(tf.matMul(gradient, met, true, false));
    }
  // [taps, O, I] to [O, I, taps].
  return tf.reshape(tf.transpose(tf.stack(taps), [1, 2, 0]), dims(shape));
};

const filterGradients: Readonly<Record<string, FilterGradient>> = {
  wasm: filterGradientByConvolution,
  tensorflow: filterGradientNative,
};
