/** NumPy's `.npy`: a header, which is a literal of Python, then the values (NumPy enhancement proposal 1). */
import { DataError, printable } from '@moco-ts/core';

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** No longer header is read; ours has 128 bytes. */
const maxHeader = 4096;
/** The bytes that a reader must have before it can tell how long the header is. */
export const npyFront = maxHeader + 12;

export interface NpyHeader {
  /** [rows, dim] */
  readonly rows: number;
  readonly dim: number;
  /** Bytes of a value: 4 (float32) or 8 (float64). */
  readonly width: 4 | 8;
  /** Where the values begin. */
  readonly offset: number;
}

/** The first 128 bytes of a file of float32 [...shape]. */
export function npyHeader(...shape: readonly number[]): Uint8Array {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`;
  const bytes = new Uint8Array(128);
  bytes.set([...magic, 1, 0, 118, 0]);
  bytes.set(new TextEncoder().encode(`${text.padEnd(117)}\n`), 10);
  return bytes;
}

/**
 * @param front the file's first {@link npyFront} bytes, or all that it has
 * @param size of the file
 * @throws DataError for what is no table of floating point numbers in rows, or is cut off
 */
export function parseNpyHeader(front: Uint8Array, size: number, source: string): NpyHeader {
  const fail = (why: string) => new DataError(`${source} is no readable .npy file of vectors: ${why}`);
  if (front.length < 12 || magic.some((byte, i) => front[i] !== byte))
    throw fail('it is no .npy file at all');
  const view = new DataView(front.buffer, front.byteOffset, front.byteLength);
  const version = front[6]!;
  if (version < 1 || version > 3) throw fail(`its format has the version ${version}`);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > maxHeader) throw fail(`its header has ${length} bytes`);
  if (start + length > front.length) throw fail('its header is cut off');
  const entries = parseLiteral(new TextDecoder('latin1').decode(front.subarray(start, start + length)));
  if (entries === undefined) throw fail('its header is damaged');
  const { descr, fortran_order: fortran, shape: text } = entries;
  if (descr === undefined || fortran === undefined || text === undefined) throw fail('its header is damaged');
  const width = descr === "'<f4'" ? 4 : descr === "'<f8'" ? 8 : undefined;
  if (width === undefined)
    throw fail(`its values are of the type ${printable(descr, 20)}; save them as float32 ('<f4')`);
  if (fortran !== 'False')
    throw fail('its values are in columns (fortran_order); save numpy.ascontiguousarray');
  const shape = text
    .slice(1, -1)
    .split(',')
    .map((part) => part.trim());
  if (shape.at(-1) === '') shape.pop();
  const [rows, dim] = shape.map(Number);
  if (shape.length !== 2 || !Number.isSafeInteger(rows) || !Number.isSafeInteger(dim) || dim === 0)
    throw fail(
      `its shape is ${printable(text, 40)}, not (rows, values of a vector)${shape.length === 3 ? ': it has tokens, not one vector for each image' : ''}`,
    );
  const offset = start + length;
  const expected = offset + rows! * dim! * width;
  if (expected !== size)
    throw fail(
      `it has ${size} bytes, and should have ${expected} by its header: it is ${size < expected ? 'cut off' : 'too long'}`,
    );
  return { rows: rows!, dim: dim!, width, offset };
}

/** The entries of `{'key': value, ...}` as text; undefined for anything else. */
function parseLiteral(text: string): Readonly<Record<string, string>> | undefined {
  const body = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1];
  if (body === undefined) return undefined;
  const entries: Record<string, string> = {};
  const entry =
    /\s*'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|\[[^\]]*\]|True|False|\([0-9, ]*\))\s*(?:,|$)/y;
  while (entry.lastIndex < body.trimEnd().length) {
    const match = entry.exec(body);
    if (match === null) return undefined;
    const [, key, value] = match;
    if (key! in entries) return undefined;
    entries[key!] = value!;
  }
  return entries;
}

/** The values of rows as float32. @param bytes of whole values */
export function npyValues(bytes: Uint8Array, width: 4 | 8): Float32Array {
  const raw = bytes.slice().buffer;
  return width === 4 ? new Float32Array(raw) : Float32Array.from(new Float64Array(raw));
}
