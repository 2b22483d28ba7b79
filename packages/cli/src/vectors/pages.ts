/**
 * Checks the pages of a Parquet column before the library reads them: the library would believe any number of bytes, values
 * or repetitions that a page claims, and allocate the memory.
 */
import type { CompressionCodec, FileMetaData } from 'hyparquet';
import { parquetSchema, snappyUncompress } from 'hyparquet';
import { type Fields, walkStruct } from './thrift.ts';

/** What says how a column's pages are to be read. */
export interface ColumnKind {
  readonly codec: CompressionCodec;
  /** The largest repetition and definition level. */
  readonly repetition: number;
  readonly definition: number;
}

/** @throws Error when the column is not in the schema */
export function columnKind(
  metadata: FileMetaData,
  path: readonly string[],
  codec: CompressionCodec,
): ColumnKind {
  let [node, repetition, definition] = [parquetSchema(metadata), 0, 0];
  for (const name of path) {
    const child = node.children.find(({ element }) => element.name === name);
    if (!child) throw new Error(`its column "${path[0]}" is not in its schema`);
    node = child;
    const { repetition_type: kind } = node.element;
    if (kind === 'REPEATED') repetition++;
    if (kind !== 'REQUIRED') definition++;
  }
  return { codec, repetition, definition };
}

const [dataPage, dictionaryPage, dataPageV2] = [0, 2, 3];
const [plainDictionary, runLength, runLengthDictionary] = [2, 3, 8];

/**
 * @param bytes the pages of a column, one behind the other
 * @param most bytes and values that a page may claim
 * @throws Error
 */
export function checkPages(bytes: Uint8Array, most: number, kind: ColumnKind): void {
  const within = (claim: number | Fields | undefined): number => {
    if (typeof claim === 'number' && claim >= 0 && claim <= most) return claim;
    throw new Error('a page claims more than a file of its size can hold');
  };
  let at = 0;
  while (at < bytes.length - 1) {
    const { fields, end } = walkStruct(bytes, at);
    const unpacked = within(fields[2]);
    const packed = within(fields[3]);
    if (packed > bytes.length - end) throw new Error('a page is cut off');
    at = end + packed;
    const header = (fields[5] ?? fields[7] ?? fields[8] ?? {}) as Fields;
    const values = within(header[1]);
    const content = bytes.subarray(end, at);
    if (fields[1] === dictionaryPage) continue;
    if (fields[1] === dataPage && fields[5] !== undefined)
      checkData(unpack(content, unpacked, kind.codec), values, header[2], kind);
    else if (fields[1] === dataPageV2 && fields[8] !== undefined) {
      // Its levels are never compressed, and the header has their lengths.
      const [nulls, levels, repetitions] = [within(header[2]), within(header[5]), within(header[6])];
      if (nulls > values) throw new Error('a page has more nulls than values');
      // The library reads on where the runs, not the stated length, end.
      if (kind.repetition > 0) checkRuns(content, widthOf(kind.repetition), values);
      if (kind.definition > 0) checkRuns(content.subarray(repetitions), widthOf(kind.definition), values);
      const rest = content.subarray(repetitions + levels);
      const size = within(unpacked - levels - repetitions);
      const plain = header[7] === 0 ? rest : unpack(rest, size, kind.codec);
      checkData(plain, values, header[4], { ...kind, repetition: 0, definition: 0 });
    } else throw new Error('a page is of no known kind');
  }
}

/** The levels and the indices of a page: lengths of runs. */
function checkData(page: Uint8Array, values: number, encoding: unknown, kind: ColumnKind): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  let at = 0;
  for (const largest of [kind.repetition, kind.definition]) {
    if (largest === 0) continue;
    const start = at + 4;
    at = start + view.getUint32(at, true);
    checkRuns(page.subarray(start), widthOf(largest), values);
  }
  if (encoding === runLength) throw new Error('its values are encoded as booleans');
  if (encoding !== plainDictionary && encoding !== runLengthDictionary) return;
  if (at < page.length) checkRuns(page.subarray(at + 1), page[at]!, values);
}

const widthOf = (largest: number) => 32 - Math.clz32(largest);

/** Runs of the hybrid of repetitions and packed bits, until there are `values`: none may be longer than what is missing. */
function checkRuns(bytes: Uint8Array, width: number, values: number): void {
  let [at, seen] = [0, 0];
  while (seen < values && at < bytes.length) {
    let [head, scale] = [0, 1];
    for (let next = 0x80; next >= 0x80 && at < bytes.length; scale *= 128) {
      next = bytes[at++]!;
      head += (next & 0x7f) * scale;
    }
    const packed = head % 2 === 1;
    const count = packed ? 8 * ((head - 1) / 2) : head / 2;
    // Packed bits come in eights.
    if (count >= values - seen + 8) throw new Error('a run of a page is longer than the page');
    at += packed ? Math.ceil((count * width) / 8) : Math.ceil(width / 8);
    seen += count;
  }
}

function unpack(bytes: Uint8Array, size: number, codec: CompressionCodec): Uint8Array {
  if (codec === 'UNCOMPRESSED') return bytes;
  if (codec !== 'SNAPPY')
    throw new Error(`it is compressed by ${codec}: write it with snappy or uncompressed`);
  const out = new Uint8Array(size);
  snappyUncompress(bytes, out);
  return out;
}
