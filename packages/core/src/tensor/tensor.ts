/** Element types of tensors. Gradients exist for float types alone, of which `float32` is the only one: {@link isFloat}. */
export type DType = 'float32' | 'int32' | 'uint8' | 'bool';

export type Shape = readonly number[];

/** The shape of images [N, C, H, W] and filters [O, I, kH, kW]. */
export type Shape4 = readonly [number, number, number, number];

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

export type TypedArray = Float32Array | Int32Array | Uint8Array;

/** A tensor on the host: dense, row-major. `bool` is stored as one byte, 0 or 1. */
export interface Tensor extends TensorType {
  readonly data: TypedArray;
}

/** Whether there are gradients of and by such values. */
export function isFloat(dtype: DType): boolean {
  return dtype === 'float32';
}

/** The number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** Bytes per element. */
export function bytesOf(dtype: DType): number {
  return dtype === 'float32' || dtype === 'int32' ? 4 : 1;
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

export function allocate(dtype: DType, size: number): TypedArray {
  if (dtype === 'float32') return new Float32Array(size);
  if (dtype === 'int32') return new Int32Array(size);
  return new Uint8Array(size);
}

/**
 * A host tensor of given values.
 * @throws RangeError when the number of values doesn't fit the shape
 */
export function tensor(data: ArrayLike<number>, shape: Shape, dtype: DType = 'float32'): Tensor {
  if (data.length !== sizeOf(shape))
    throw new RangeError(`${data.length} values don't fill the shape [${shape.join(', ')}]`);
  const fits =
    (dtype === 'float32' && data instanceof Float32Array) ||
    (dtype === 'int32' && data instanceof Int32Array) ||
    (dtype !== 'float32' && dtype !== 'int32' && data instanceof Uint8Array);
  if (fits) return { shape, dtype, data: data as TypedArray };
  const own = allocate(dtype, data.length);
  own.set(data);
  return { shape, dtype, data: own };
}

/** A float32 (by default) scalar. */
export function scalar(value: number, dtype: DType = 'float32'): Tensor {
  return tensor([value], [], dtype);
}

/** A tensor filled with one value. */
export function filled(shape: Shape, value: number, dtype: DType = 'float32'): Tensor {
  const data = allocate(dtype, sizeOf(shape));
  if (value !== 0) data.fill(value);
  return { shape, dtype, data };
}

/** Whether no value is NaN or infinite. One sum instead of a test for each: a state has millions. */
export function allFinite(data: ArrayLike<number>): boolean {
  let sum = 0;
  // 0 for what is finite, else NaN.
  for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
  return sum === 0;
}

/** The first row of [N, width] with a value that is NaN or infinite; undefined where there is none. */
export function firstNotFinite(rows: Float32Array, width: number): number | undefined {
  if (allFinite(rows)) return undefined;
  return Math.floor(rows.findIndex((value) => !Number.isFinite(value)) / width);
}

/** `float32 [2, 3]`, as messages write a type. */
export function describe(type: TensorType): string {
  return `${type.dtype} [${type.shape.join(', ')}]`;
}
