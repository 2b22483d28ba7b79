/**
 * Checks the headers of a Parquet file (Thrift's compact protocol) before the library reads them: the library would believe
 * any length that a list claims, and allocate the memory.
 */

/** The integers, booleans (1 and 0) and structs of a struct, by field. */
export interface Fields {
  readonly [field: number]: number | Fields;
}

const maxDepth = 32;

/**
 * @param bytes that begin with a struct
 * @returns its fields and where it ends
 * @throws Error for what goes beyond the bytes
 */
export function walkStruct(bytes: Uint8Array, start: number, depth = 0): { fields: Fields; end: number } {
  if (depth > maxDepth) throw new Error('its header is too deep');
  const fields: Record<number, number | Fields> = {};
  let at = start;
  let field = 0;
  const byte = () => {
    if (at >= bytes.length) throw new Error('its header is cut off');
    return bytes[at++]!;
  };
  const varint = (): number => {
    let [value, scale] = [0, 1];
    for (let i = 0; i < 10; i++) {
      const next = byte();
      value += (next & 0x7f) * scale;
      if (next < 0x80) return value;
      scale *= 128;
    }
    throw new Error('its header is damaged');
  };
  const skip = (count: number) => {
    if (count > bytes.length - at) throw new Error('its header is cut off');
    at += count;
  };
  const element = (type: number, inList: boolean): number | Fields | undefined => {
    if (type === 1 || type === 2) return inList ? void skip(1) : 2 - type;
    if (type === 3) return void skip(1);
    if (type >= 4 && type <= 6) {
      const zigzag = varint();
      return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    }
    if (type === 7) return void skip(8);
    if (type === 8) return void skip(varint());
    if (type === 9) {
      const head = byte();
      const size = head >> 4 === 15 ? varint() : head >> 4;
      // No element takes less than a byte.
      if (size > bytes.length - at) throw new Error('a list of its header is longer than the file');
      for (let i = 0; i < size; i++) element(head & 0x0f, true);
      return undefined;
    }
    if (type !== 12) throw new Error('its header is damaged');
    const inner = walkStruct(bytes, at, depth + 1);
    at = inner.end;
    return inner.fields;
  };
  for (;;) {
    const head = byte();
    if ((head & 0x0f) === 0) return { fields, end: at };
    if (head >> 4 === 0) {
      const zigzag = varint();
      field = zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    } else field += head >> 4;
    const value = element(head & 0x0f, false);
    if (value !== undefined) fields[field] = value;
  }
}

/** The footer of a file: a struct, its length, the letters PAR1. @throws Error */
export function checkFooter(tail: Uint8Array): void {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  if (tail.length < 12 || view.getUint32(tail.length - 4, true) !== 0x31524150)
    throw new Error('it does not end as a Parquet file does: cut off, or none at all');
  const length = view.getUint32(tail.length - 8, true);
  if (length > tail.length - 8) throw new Error('its footer is longer than the file');
  walkStruct(tail.subarray(tail.length - 8 - length, tail.length - 8), 0);
}
