import { type Shape, sizeOf, stridesOf } from '../tensor/tensor.ts';
import { fill, indices, type Kernel, offsetIn, type Reference } from './kernel.ts';

type Numbers = readonly number[];

function at(x: Reference, index: Numbers): number {
  return x.data[offsetIn(x.shape, index)]!;
}

/** Folds all elements that share an output element. */
function reduce(start: number, step: (total: number, x: number) => number): Kernel {
  return ([x], attrs, [type]) => {
    const axes = attrs.axes as Numbers;
    const kept: Shape = x!.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
    const out = new Float64Array(sizeOf(type!.shape)).fill(start);
    let i = 0;
    for (const index of indices(x!.shape)) {
      const offset = offsetIn(kept, index);
      out[offset] = step(out[offset]!, x!.data[i++]!);
    }
    return [out];
  };
}

const sum = reduce(0, (total, x) => total + x);

export const shape: Record<string, Kernel> = {
  sum,
  max: reduce(Number.NEGATIVE_INFINITY, Math.max),
  mean: (inputs, attrs, types) => {
    const count = sizeOf(inputs[0]!.shape) / sizeOf(types[0]!.shape);
    return [sum(inputs, attrs, types)[0]!.map((total) => total / count)];
  },
  reshape: ([x]) => [x!.data.slice()],
  barrier: ([x]) => [x!.data],
  transpose: ([x], attrs, [type]) => {
    const order = attrs.permutation as Numbers;
    const source = x!.shape.map(() => 0);
    return [
      fill(type!.shape, (index) => {
        order.forEach((axis, i) => {
          source[axis] = index[i]!;
        });
        return at(x!, source);
      }),
    ];
  },
  broadcastTo: ([x], _, [type]) => [fill(type!.shape, (index) => at(x!, index))],
  slice: ([x], attrs, [type]) => {
    const starts = attrs.starts as Numbers;
    const strides = stridesOf(x!.shape);
    return [
      fill(
        type!.shape,
        (index) =>
          x!.data[index.reduce((offset, i, axis) => offset + (i + starts[axis]!) * strides[axis]!, 0)]!,
      ),
    ];
  },
  pad: ([x], attrs, [type]) => {
    const before = attrs.before as Numbers;
    const strides = stridesOf(type!.shape);
    const out = new Float64Array(sizeOf(type!.shape));
    let i = 0;
    for (const index of indices(x!.shape))
      out[index.reduce((offset, j, axis) => offset + (j + before[axis]!) * strides[axis]!, 0)] =
        x!.data[i++]!;
    return [out];
  },
  concat: (inputs, attrs, [type]) => {
    const axis = attrs.axis as number;
    return [
      fill(type!.shape, (index) => {
        let position = index[axis]!;
        const source = inputs.find((input) => {
          const inside = position < input.shape[axis]!;
          if (!inside) position -= input.shape[axis]!;
          return inside;
        })!;
        const strides = stridesOf(source.shape);
        return source.data[
          index.reduce((offset, i, a) => offset + (a === axis ? position : i) * strides[a]!, 0)
        ]!;
      }),
    ];
  },
  gather: ([x, rows]) => {
    const width = sizeOf(x!.shape.slice(1));
    const out = new Float64Array(rows!.data.length * width);
    rows!.data.forEach((row, i) => {
      out.set(x!.data.subarray(row * width, (row + 1) * width), i * width);
    });
    return [out];
  },
  scatterAdd: ([x, rows], _, [type]) => {
    const width = sizeOf(x!.shape.slice(1));
    const out = new Float64Array(sizeOf(type!.shape));
    rows!.data.forEach((row, i) => {
      for (let j = 0; j < width; j++) out[row * width + j]! += x!.data[i * width + j]!;
    });
    return [out];
  },
  updateSlice: ([x, update, start], attrs) => {
    const axis = attrs.axis as number;
    const strides = stridesOf(x!.shape);
    const extent = x!.shape[axis]!;
    const out = x!.data.slice();
    let i = 0;
    for (const index of indices(update!.shape)) {
      const position = (index[axis]! + start!.data[0]!) % extent;
      const offset = index.reduce((total, j, a) => total + (a === axis ? position : j) * strides[a]!, 0);
      out[offset] = update!.data[i++]!;
    }
    return [out];
  },
};
