/** PyTorch's element types: their sizes, the names of their storages, and how they are read here. */
import { allocate, type HostDType, halfToNumber, sizeOf, stridesOf, type TypedArray } from '@moco-ts/core';

interface ElementType {
  /** Bytes per element. */
  readonly width: number;
  /** The class of its storages in files, if it has one of its own. */
  readonly storage?: string;
  /** What it becomes; missing: not read. */
  readonly becomes?: HostDType;
  /** Little-endian values from an offset in bytes. */
  readonly get?: (view: DataView, at: number) => number;
}

const floats = (width: number, get: ElementType['get'] & {}, storage?: string): ElementType => ({
  width,
  becomes: 'float32',
  get,
  ...(storage !== undefined && { storage }),
});
const integers = (width: number, get: ElementType['get'] & {}, storage?: string): ElementType => ({
  ...floats(width, get, storage),
  becomes: 'int32',
});

const one = new DataView(new ArrayBuffer(4));
function bfloat16(view: DataView, at: number): number {
  one.setUint32(0, view.getUint16(at, true) << 16);
  return one.getFloat32(0);
}

function float16(view: DataView, at: number): number {
  return halfToNumber(view.getUint16(at, true));
}

/** A 64-bit integer; NaN when a 32-bit one can't hold it. */
function int64(view: DataView, at: number): number {
  const [low, high] = [view.getInt32(at, true), view.getInt32(at + 4, true)];
  return high === low >> 31 ? low : Number.NaN;
}

export const elementTypes: Readonly<Record<string, ElementType>> = {
  float32: floats(4, (v, at) => v.getFloat32(at, true), 'FloatStorage'),
  float64: floats(8, (v, at) => v.getFloat64(at, true), 'DoubleStorage'),
  float16: floats(2, float16, 'HalfStorage'),
  bfloat16: floats(2, bfloat16, 'BFloat16Storage'),
  int64: integers(8, int64, 'LongStorage'),
  int32: integers(4, (v, at) => v.getInt32(at, true), 'IntStorage'),
  int16: integers(2, (v, at) => v.getInt16(at, true), 'ShortStorage'),
  int8: integers(1, (v, at) => v.getInt8(at), 'CharStorage'),
  uint16: integers(2, (v, at) => v.getUint16(at, true)),
  uint8: { width: 1, storage: 'ByteStorage', becomes: 'uint8', get: (v, at) => v.getUint8(at) },
  bool: {
    width: 1,
    storage: 'BoolStorage',
    becomes: 'bool',
    get: (v, at) => (v.getUint8(at) === 0 ? 0 : 1),
  },
  uint32: { width: 4 },
  uint64: { width: 8 },
  complex32: { width: 4 },
  complex64: { width: 8, storage: 'ComplexFloatStorage' },
  complex128: { width: 16, storage: 'ComplexDoubleStorage' },
  float8_e4m3fn: { width: 1 },
  float8_e5m2: { width: 1 },
  float8_e4m3fnuz: { width: 1 },
  float8_e5m2fnuz: { width: 1 },
  qint8: { width: 1, storage: 'QInt8Storage' },
  quint8: { width: 1, storage: 'QUInt8Storage' },
  qint32: { width: 4, storage: 'QInt32Storage' },
  untyped: { width: 1 },
};

/** Bytes per element. */
export function widthOf(dtype: string): number {
  return elementTypes[dtype]!.width;
}

/**
 * The elements of a strided view, row by row.
 * @param bytes of the storage
 * @param start the first element, in elements
 * @throws RangeError for a 64-bit integer that is no 32-bit one, and a type that is not read
 */
export function gather(
  bytes: Uint8Array,
  dtype: string,
  start: number,
  shape: readonly number[],
  strides: readonly number[],
): { readonly dtype: HostDType; readonly data: TypedArray } {
  const { width, becomes, get } = elementTypes[dtype]!;
  if (becomes === undefined || get === undefined) throw new RangeError(`is of the type ${dtype}`);
  const size = sizeOf(shape);
  const data = allocate(becomes, size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isDense(shape, strides) && width === data.BYTES_PER_ELEMENT && becomes !== 'bool' && dtype !== 'int8') {
    // The usual case, as a copy of bytes. Machines that run JavaScript are little-endian, as the files are.
    new Uint8Array(data.buffer).set(bytes.subarray(start * width, (start + size) * width));
    return { dtype: becomes, data };
  }
  const index = new Array<number>(shape.length).fill(0);
  let from = start;
  for (let to = 0; to < size; to++) {
    const value = get(view, from * width);
    if (becomes === 'int32' && Number.isNaN(value))
      throw new RangeError('holds an integer of more than 32 bits');
    data[to] = value;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
      from -= strides[axis]! * shape[axis]!;
    }
  }
  return { dtype: becomes, data };
}

function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  const dense = stridesOf(shape);
  return shape.every((extent, axis) => extent === 1 || strides[axis] === dense[axis]);
}
