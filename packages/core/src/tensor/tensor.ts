/** Element types of tensors on the host: of what enters a graph, what it returns, and constants. */
export type HostDType = 'float32' | 'int32' | 'uint8' | 'bool';

/**
 * Element types of values. `bfloat16` and `float16` exist between nodes alone (`tensor/reduced.ts`); gradients exist for float
 * types alone: {@link isFloat}.
 */
export type DType = HostDType | ReducedDType;

/** Float types of two bytes. */
export type ReducedDType = 'bfloat16' | 'float16';

export type Shape = readonly number[];

/** The shape of images [N, C, H, W] and filters [O, I, kH, kW]. */
export type Shape4 = readonly [number, number, number, number];

export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}

export type TypedArray = Float32Array | Int32Array | Uint8Array;

/** A type that tensors on the host have. */
export interface HostType extends TensorType {
  readonly dtype: HostDType;
}

/** A tensor on the host: dense, row-major. `bool` is stored as one byte, 0 or 1. */
export interface Tensor extends HostType {
  readonly data: TypedArray;
}

/** Whether there are gradients of and by such values. */
export function isFloat(dtype: DType): boolean {
  return dtype === 'float32' || isReduced(dtype);
}

export function isReduced(dtype: DType): dtype is ReducedDType {
  return dtype === 'bfloat16' || dtype === 'float16';
}

/** The number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** Bytes per element. */
export function bytesOf(dtype: DType): number {
  if (isReduced(dtype)) return 2;
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

export function allocate(dtype: HostDType, size: number): TypedArray {
  if (dtype === 'float32') return new Float32Array(size);
  if (dtype === 'int32') return new Int32Array(size);
  return new Uint8Array(size);
}

/**
 * A host tensor of given values.
 * @throws RangeError when the number of values doesn't fit the shape
 */
export function tensor(data: ArrayLike<number>, shape: Shape, dtype: HostDType = 'float32'): Tensor {
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
export function scalar(value: number, dtype: HostDType = 'float32'): Tensor {
  return tensor([value], [], dtype);
}

/** A tensor filled with one value. */
export function filled(shape: Shape, value: number, dtype: HostDType = 'float32'): Tensor {
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
