/** The netpbm formats P1 to P6, which libvips' prebuilt does not read: bits, grey and RGB, as text or bytes, 8 or 16 bit. */
import { DataError } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import type { Size } from './format.ts';

interface Header extends Size {
  /** 1 to 6, as in `P6`. */
  readonly kind: number;
  /** The value of white. */
  readonly most: number;
  /** Where the samples begin. */
  readonly start: number;
}

const cut = () => new DataError('the file is cut off');

/** @throws DataError for what is no such image */
export function pnmSize(bytes: Uint8Array): Size {
  const { width, height } = headerOf(bytes);
  return { width, height };
}

/** @throws DataError for what is cut off, or no such image */
export function decodePnm(bytes: Uint8Array): RgbImage {
  const header = headerOf(bytes);
  const { width, height, kind, most } = header;
  const channels = kind % 3 === 0 ? 3 : 1;
  const count = width * height * channels;
  const samples = kind > 3 ? packed(bytes, header, count) : numbers(bytes, header, count);
  const scale =
    most === 255 ? undefined : Uint8Array.from({ length: most + 1 }, (_, v) => Math.round((255 * v) / most));
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) {
      const value = samples[i * channels + (channels === 3 ? c : 0)]!;
      data[3 * i + c] = scale === undefined ? value : scale[within(value, most)]!;
    }
  return { width, height, data };
}

function within(value: number, most: number): number {
  if (value > most) throw new DataError(`a value of ${value}, where ${most} is white`);
  return value;
}

function headerOf(bytes: Uint8Array): Header {
  const kind = bytes[1]! - 0x30;
  const read = reader(bytes, 2);
  const [width, height] = [read.number(), read.number()];
  // Of bits, 1 is black.
  const most = kind % 3 === 1 ? 1 : read.number();
  if (width < 1 || height < 1) throw new DataError(`${width} x ${height} pixels`);
  if (most < 1 || most > 65_535) throw new DataError(`a largest value of ${most}`);
  // One character of white space ends the header.
  return { width, height, kind, most, start: read.at() + 1 };
}

const isSpace = (byte: number | undefined) => byte === 32 || (byte !== undefined && byte >= 9 && byte <= 13);
const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 48 && byte <= 57;

/** Numbers between white space and comments. */
function reader(bytes: Uint8Array, from: number) {
  let at = from;
  const skip = () => {
    for (;;) {
      if (isSpace(bytes[at])) at++;
      else if (bytes[at] === 0x23) while (at < bytes.length && bytes[at] !== 10 && bytes[at] !== 13) at++;
      else return;
    }
  };
  return {
    at: () => at,
    number(digits = 9): number {
      skip();
      let value = 0;
      const first = at;
      while (isDigit(bytes[at]) && at - first < digits) value = 10 * value + bytes[at++]! - 48;
      if (at === first) throw at >= bytes.length ? cut() : new DataError('no number where one should be');
      return value;
    },
  };
}

function packed(bytes: Uint8Array, { kind, width, height, most, start }: Header, count: number) {
  if (kind === 4) {
    const stride = Math.ceil(width / 8);
    if (start + stride * height > bytes.length) throw cut();
    return Uint8Array.from({ length: count }, (_, i) => {
      const x = i % width;
      return 1 - ((bytes[start + Math.floor(i / width) * stride + (x >> 3)]! >> (7 - (x & 7))) & 1);
    });
  }
  const wide = most > 255 ? 2 : 1;
  if (start + count * wide > bytes.length) throw cut();
  if (wide === 1) return bytes.subarray(start, start + count);
  return Uint16Array.from(
    { length: count },
    (_, i) => 256 * bytes[start + 2 * i]! + bytes[start + 2 * i + 1]!,
  );
}

function numbers(bytes: Uint8Array, { kind, start, most }: Header, count: number): Uint16Array {
  // A sample has a character at least: what the header asks for must be there before memory is.
  if (start + count > bytes.length) throw cut();
  const read = reader(bytes, start - 1);
  // Bits need no space between them.
  if (kind === 1) return Uint16Array.from({ length: count }, () => 1 - within(read.number(1), 1));
  return Uint16Array.from({ length: count }, () => within(read.number(), most));
}
