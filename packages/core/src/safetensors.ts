/** The safetensors format: a JSON header of names, dtypes, shapes and offsets, then the bytes. */
import { type ByteSource, joinBytes, readExactly } from './byte-source.ts';
import { CheckpointError, printable } from './errors.ts';
import { bytesOf, type HostDType, sizeOf, type Tensor, type TypedArray } from './tensor/tensor.ts';

// Globals of Node and browsers alike; core takes the types of neither.
declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean });
  decode(bytes: Uint8Array): string;
}

const codes: Readonly<Record<HostDType, string>> = {
  float32: 'F32',
  int32: 'I32',
  uint8: 'U8',
  bool: 'BOOL',
};
const dtypes = new Map(Object.entries(codes).map(([dtype, code]) => [code, dtype as HostDType]));
/** Larger headers are refused, as the reference implementation does. */
const maxHeader = 100_000_000;

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

export interface SafetensorsFile {
  readonly tensors: Record<string, Tensor>;
  readonly metadata: Record<string, string>;
}

/** Writes tensors, little-endian, each aligned to its element size. */
export function encodeSafetensors(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  return joinBytes(safetensorsParts(tensors, metadata));
}

/**
 * The same bytes in parts, of which all but the first are the tensors' own memory: a file may be larger than an array
 * can be.
 */
export function safetensorsParts(
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header: Record<string, Entry | Readonly<Record<string, string>>> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  // Wide elements first, so that all stay aligned without gaps, which the format forbids.
  const entries = Object.entries(tensors).sort(([, a], [, b]) => bytesOf(b.dtype) - bytesOf(a.dtype));
  let end = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    const start = end;
    end += data.byteLength;
    header[name] = { dtype: codes[dtype], shape, data_offsets: [start, end] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerSize = Math.ceil(text.length / 8) * 8;
  const front = new Uint8Array(8 + headerSize).fill(0x20, 8 + text.length);
  new DataView(front.buffer).setBigUint64(0, BigInt(headerSize), true);
  front.set(text, 8);
  return [
    front,
    ...entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  ];
}

/**
 * Reads tensors. F16, BF16 and F64 become float32; I64 becomes int32 when its values fit.
 * @param source the file's name, for messages
 * @throws CheckpointError when the bytes are no safetensors file, are cut off, or hold a dtype that can't be read
 */
export function decodeSafetensors(bytes: Uint8Array, source: string): SafetensorsFile {
  const fail = failure(source);
  const headerSize = headerSizeOf(bytes, bytes.length, fail);
  const body = bytes.subarray(8 + headerSize);
  const { entries, metadata } = parseHeader(bytes.subarray(8, 8 + headerSize), body.length, fail);
  const tensors = entries.map(([name, entry]) => {
    const [start, end] = entry.data_offsets;
    // A copy with a buffer of its own: `slice` of Node's Buffer would share the file's.
    return [name, tensorOf(name, entry, new Uint8Array(body.subarray(start, end)), fail)] as const;
  });
  return { tensors: Object.fromEntries(tensors), metadata };
}

/**
 * The same of a file that is read a tensor at a time: it may be larger than what one array or one read can hold, and no
 * second copy of it is in memory.
 * @throws CheckpointError as {@link decodeSafetensors} does; and what `source` throws
 */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const fail = failure(source.name);
  const front = await readExactly(source, 0, Math.min(8, source.size));
  const headerSize = headerSizeOf(front, source.size, fail);
  const text = await readExactly(source, 8, headerSize);
  const { entries, metadata } = parseHeader(text, source.size - 8 - headerSize, fail);
  const tensors: [name: string, tensor: Tensor][] = [];
  for (const [name, entry] of entries) {
    const [start, end] = entry.data_offsets;
    const bytes = await readExactly(source, 8 + headerSize + start, end - start);
    const own = bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.length;
    const raw = own && bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes);
    tensors.push([name, tensorOf(name, entry, raw as Uint8Array<ArrayBuffer>, fail)]);
  }
  // By entries: a name may be `__proto__`.
  return { tensors: Object.fromEntries(tensors), metadata };
}

const failure = (source: string) => (why: string) =>
  new CheckpointError(`${source} is no readable safetensors file: ${printable(why, 300)}`);

/** @param front at least the first 8 bytes of a file of `size` bytes, or all of a smaller one */
function headerSizeOf(front: Uint8Array, size: number, fail: Fail): number {
  if (front.length < 8) throw fail(`it has ${size} bytes`);
  const headerSize = Number(new DataView(front.buffer, front.byteOffset).getBigUint64(0, true));
  if (headerSize > maxHeader || 8 + headerSize > size) throw fail('the header is cut off');
  return headerSize;
}

interface Header {
  readonly entries: [name: string, entry: Entry][];
  readonly metadata: Record<string, string>;
}

/** @param bytes of the body behind it */
function parseHeader(text: Uint8Array, bytes: number, fail: Fail): Header {
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    throw fail('the header is no JSON');
  }
  if (typeof header !== 'object' || header === null) throw fail('the header is no object');
  const entries: [name: string, entry: Entry][] = [];
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isMetadata(entry)) throw fail('its metadata is no object of texts');
      metadata = entry;
    } else if (isEntry(entry)) {
      checkEntry(name, entry, bytes, fail);
      entries.push([name, entry]);
    } else throw fail(`the entry "${name}" is malformed`);
  }
  checkCover(entries, bytes, fail);
  return { entries, metadata };
}

function isMetadata(value: unknown): value is Record<string, string> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}

function isEntry(value: unknown): value is Entry {
  const entry = value as Partial<Entry> | null;
  const natural = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
  return (
    typeof entry === 'object' &&
    entry !== null &&
    typeof entry.dtype === 'string' &&
    Array.isArray(entry.shape) &&
    entry.shape.every(natural) &&
    Array.isArray(entry.data_offsets) &&
    entry.data_offsets.length === 2 &&
    entry.data_offsets.every(natural)
  );
}

/** Bytes per element; undefined for what can't be read. */
const widthOf = (dtype: string): number | undefined =>
  Object.hasOwn(widths, dtype) ? widths[dtype] : undefined;
const widths: Readonly<Record<string, number>> = {
  ...{ F64: 8, I64: 8, F32: 4, I32: 4 },
  ...{ F16: 2, BF16: 2, U8: 1, BOOL: 1 },
};

function checkEntry(name: string, { dtype, shape, data_offsets }: Entry, bytes: number, fail: Fail): void {
  const [start, end] = data_offsets;
  const width = widthOf(dtype);
  if (width === undefined) throw fail(`"${name}" is of the dtype ${dtype}`);
  if (end > bytes) throw fail(`"${name}" is cut off`);
  if (end - start !== sizeOf(shape) * width)
    throw fail(`"${name}" has ${end - start} bytes for [${shape.join(', ')}]`);
}

/** The format demands that the tensors cover the body, without gaps and each byte once. */
function checkCover(entries: readonly [name: string, entry: Entry][], bytes: number, fail: Fail): void {
  const ranges = entries.map(([, { data_offsets }]) => data_offsets);
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = 0;
  for (const [start, end] of ranges) {
    if (start !== at) throw fail(`its tensors ${start < at ? 'overlap' : 'leave a gap'} at byte ${start}`);
    at = end;
  }
  if (at !== bytes) throw fail(`${bytes - at} bytes at its end belong to no tensor`);
}

type Fail = (why: string) => Error;

/** @param raw the whole of its buffer, which becomes the tensor's where the dtype is one of ours */
function tensorOf(
  name: string,
  { shape, dtype: code }: Entry,
  raw: Uint8Array<ArrayBuffer>,
  fail: Fail,
): Tensor {
  const dtype = dtypes.get(code);
  if (dtype) {
    if (dtype === 'bool' && raw.some((value) => value > 1))
      throw fail(`"${name}" holds booleans other than 0 and 1`);
    return { shape, dtype, data: viewOf(dtype, raw) };
  }
  return code === 'I64' ? fromInt64(name, shape, raw, fail) : fromFloat(code, shape, raw);
}

function viewOf(dtype: HostDType, raw: Uint8Array<ArrayBuffer>): TypedArray {
  if (dtype === 'float32') return new Float32Array(raw.buffer);
  return dtype === 'int32' ? new Int32Array(raw.buffer) : raw;
}

function fromInt64(name: string, shape: readonly number[], raw: Uint8Array, fail: Fail): Tensor {
  const wide = new BigInt64Array(raw.buffer, 0, raw.length / 8);
  const data = Int32Array.from(wide, (value) => {
    if (BigInt.asIntN(32, value) !== value)
      throw fail(`"${name}" holds ${value}, which is no 32-bit integer`);
    return Number(value);
  });
  return { shape, dtype: 'int32', data };
}

function fromFloat(dtype: string, shape: readonly number[], raw: Uint8Array): Tensor {
  if (dtype === 'F64')
    return { shape, dtype: 'float32', data: Float32Array.from(new Float64Array(raw.buffer)) };
  const half = new Uint16Array(raw.buffer, 0, raw.length / 2);
  if (dtype === 'F16') return { shape, dtype: 'float32', data: Float32Array.from(half, halfToNumber) };
  const bits = Uint32Array.from(half, (value) => value << 16);
  return { shape, dtype: 'float32', data: new Float32Array(bits.buffer) };
}

/** IEEE 754 binary16. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
