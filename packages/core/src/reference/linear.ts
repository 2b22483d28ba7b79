/** Matrix products, convolutions and pooling, by their definitions. */

import type { Attributes } from '../graph/graph.ts';
import { convAttributes } from '../graph/ops/conv.ts';
import { poolAttributes } from '../graph/ops/pool.ts';
import { type Shape, type Shape4, sizeOf } from '../tensor/tensor.ts';
import type { Kernel } from './kernel.ts';

/** Calls back with the flat offsets (x, w, y) of each product that a convolution sums. */
function eachProduct(
  x: Shape,
  w: Shape,
  y: Shape,
  attrs: Attributes,
  visit: (xAt: number, wAt: number, yAt: number) => void,
): void {
  const { stride, padding, groups } = convAttributes(attrs);
  const [batch, channels, height, width] = x as Shape4;
  const [outputs, perGroup, kernelHeight, kernelWidth] = w as Shape4;
  const [, , oh, ow] = y as Shape4;
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < outputs; o++) {
      const firstChannel = Math.floor(o / (outputs / groups)) * perGroup;
      for (let i = 0; i < oh; i++)
        for (let j = 0; j < ow; j++) {
          const yAt = ((n * outputs + o) * oh + i) * ow + j;
          for (let c = 0; c < perGroup; c++)
            for (let ki = 0; ki < kernelHeight; ki++)
              for (let kj = 0; kj < kernelWidth; kj++) {
                const row = i * stride + ki - padding;
                const column = j * stride + kj - padding;
                if (row < 0 || row >= height || column < 0 || column >= width) continue;
                visit(
                  ((n * channels + firstChannel + c) * height + row) * width + column,
                  ((o * perGroup + c) * kernelHeight + ki) * kernelWidth + kj,
                  yAt,
                );
              }
        }
    }
}

/** Calls back with the output's offset and the input's offset of each window's first largest element. */
function eachWindow(
  x: Float64Array,
  shape: Shape,
  pooled: Shape,
  attrs: Attributes,
  visit: (yAt: number, xAt: number) => void,
) {
  const { kernel, stride, padding } = poolAttributes(attrs);
  const [batch, channels, height, width] = shape as Shape4;
  const [, , oh, ow] = pooled as Shape4;
  for (let plane = 0; plane < batch * channels; plane++)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++) {
        let best = -1;
        for (let ki = 0; ki < kernel; ki++)
          for (let kj = 0; kj < kernel; kj++) {
            const row = i * stride + ki - padding;
            const column = j * stride + kj - padding;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            const at = (plane * height + row) * width + column;
            if (best < 0 || x[at]! > x[best]!) best = at;
          }
        visit((plane * oh + i) * ow + j, best);
      }
}

export const linear: Record<string, Kernel> = {
  matmul: ([a, b], { transposeA, transposeB }, [type]) => {
    const [m, n] = type!.shape.slice(-2) as [number, number];
    const inner = a!.shape.at(transposeA ? -2 : -1)!;
    const out = new Float64Array(sizeOf(type!.shape));
    const batch = out.length / (m * n);
    for (let s = 0; s < batch; s++)
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let total = 0;
          for (let k = 0; k < inner; k++) {
            const aAt = s * m * inner + (transposeA ? k * m + i : i * inner + k);
            const bAt = s * inner * n + (transposeB ? j * inner + k : k * n + j);
            total += a!.data[aAt]! * b!.data[bAt]!;
          }
          out[(s * m + i) * n + j] = total;
        }
    return [out];
  },
  conv2d: ([x, w], attrs, [type]) => {
    const y = new Float64Array(sizeOf(type!.shape));
    eachProduct(x!.shape, w!.shape, type!.shape, attrs, (xAt, wAt, yAt) => {
      y[yAt]! += x!.data[xAt]! * w!.data[wAt]!;
    });
    return [y];
  },
  conv2dInputGrad: ([dy, w], attrs, [type]) => {
    const dx = new Float64Array(sizeOf(type!.shape));
    eachProduct(type!.shape, w!.shape, dy!.shape, attrs, (xAt, wAt, yAt) => {
      dx[xAt]! += dy!.data[yAt]! * w!.data[wAt]!;
    });
    return [dx];
  },
  conv2dFilterGrad: ([x, dy], attrs, [type]) => {
    const dw = new Float64Array(sizeOf(type!.shape));
    eachProduct(x!.shape, type!.shape, dy!.shape, attrs, (xAt, wAt, yAt) => {
      dw[wAt]! += x!.data[xAt]! * dy!.data[yAt]!;
    });
    return [dw];
  },
  maxPool2d: ([x], attrs, [type]) => {
    const y = new Float64Array(sizeOf(type!.shape));
    eachWindow(x!.data, x!.shape, type!.shape, attrs, (yAt, xAt) => {
      y[yAt] = x!.data[xAt]!;
    });
    return [y];
  },
  maxPool2dGrad: ([dy, x], attrs) => {
    const dx = new Float64Array(x!.data.length);
    eachWindow(x!.data, x!.shape, dy!.shape, attrs, (yAt, xAt) => {
      dx[xAt]! += dy!.data[yAt]!;
    });
    return [dx];
  },
};
