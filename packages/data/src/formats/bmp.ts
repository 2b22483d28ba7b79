/**
 * BMP, which libvips does not read: headers of OS/2 1 and of Windows (versions 3 to 5), 1 to 32 bits, palettes, masks, RLE4
 * and RLE8, either way up.
 */
import { DataError } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import type { Size } from './format.ts';

const RGB = 0;
const RLE8 = 1;
const RLE4 = 2;
const MASKS = 3;
const ALPHA_MASKS = 6;

interface Header extends Size {
  readonly upwards: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Where the pixels begin. */
  readonly start: number;
  /** RGB, three bytes a colour. */
  readonly palette: Uint8Array;
  /** Red, green, blue, alpha: which bits of a pixel, where masks say so. */
  readonly masks: readonly number[];
}

/** @throws DataError for what is cut off, or no BMP of these */
export function bmpSize(bytes: Uint8Array): Size {
  const { width, height } = headerOf(bytes, false);
  return { width, height };
}

/**
 * @returns RGB, transparency (of version 4 and 5 alone) composited on white
 * @throws DataError for what is cut off, or no BMP of these
 */
export function decodeBmp(bytes: Uint8Array): RgbImage {
  const header = headerOf(bytes, true);
  const { width, height, bits, compression } = header;
  if (compression === RLE8 || compression === RLE4)
    return { width, height, data: coloured(header, unpackRuns(bytes, header)) };
  const stride = Math.ceil((width * bits) / 32) * 4;
  if (header.start + stride * (height - 1) + Math.ceil((width * bits) / 8) > bytes.length) throw cut();
  if (bits <= 8) return { width, height, data: coloured(header, unpackIndices(bytes, header, stride)) };
  return { width, height, data: unpackColours(bytes, header, stride) };
}

const cut = () => new DataError('the file is cut off');

function headerOf(bytes: Uint8Array, complete: boolean): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const start = view.getUint32(10, true);
    const size = view.getUint32(14, true);
    if (size === 12) {
      const [width, height, bits] = [18, 20, 24].map((at) => view.getUint16(at, true)) as [
        number,
        number,
        number,
      ];
      const palette = complete
        ? paletteOf(bytes, 26, bits <= 8 ? 2 ** bits : 0, 3, start)
        : new Uint8Array(0);
      return checked({ width, height, upwards: true, bits, compression: RGB, start, palette, masks: [] });
    }
    if (size < 40) throw new DataError(`a BMP header of ${size} bytes`);
    const tall = view.getInt32(22, true);
    const bits = view.getUint16(28, true);
    const compression = view.getUint32(30, true);
    const masked = compression === MASKS || compression === ALPHA_MASKS;
    // Version 3 has its masks behind the header, later ones within it: at the same place.
    const count = !masked ? 0 : size >= 56 || compression === ALPHA_MASKS ? 4 : 3;
    const masks = Array.from({ length: count }, (_, i) => view.getUint32(54 + 4 * i, true));
    const behind = 14 + size + (size === 40 ? 4 * count : 0);
    const colours = bits <= 8 ? Math.min(view.getUint32(46, true) || 2 ** bits, 2 ** bits) : 0;
    const palette = complete ? paletteOf(bytes, behind, colours, 4, start) : new Uint8Array(0);
    const [width, height] = [view.getInt32(18, true), Math.abs(tall)];
    return checked({ width, height, upwards: tall > 0, bits, compression, start, palette, masks });
  } catch (error) {
    throw error instanceof RangeError ? cut() : error;
  }
}

function checked(header: Header): Header {
  const { width, height, bits, compression } = header;
  if (width < 1 || height < 1) throw new DataError(`${width} x ${height} pixels`);
  const fits: Record<number, readonly number[]> = {
    [RGB]: [1, 4, 8, 16, 24, 32],
    [RLE8]: [8],
    [RLE4]: [4],
    [MASKS]: [16, 32],
    [ALPHA_MASKS]: [16, 32],
  };
  if (!fits[compression]?.includes(bits))
    throw new DataError(`a BMP of ${bits} bits in compression ${compression}`);
  return header;
}

/** All that the bits can name: what the file lacks is black. */
function paletteOf(
  bytes: Uint8Array,
  from: number,
  colours: number,
  width: 3 | 4,
  start: number,
): Uint8Array {
  const palette = new Uint8Array(3 * 256);
  const room = Math.max(0, Math.floor((Math.min(start, bytes.length) - from) / width));
  for (let i = 0; i < Math.min(colours, room); i++)
    for (let c = 0; c < 3; c++) palette[3 * i + c] = bytes[from + width * i + 2 - c]!;
  return palette;
}

function coloured({ palette }: Header, indices: Uint8Array): Uint8Array {
  const data = new Uint8Array(3 * indices.length);
  for (let i = 0; i < indices.length; i++)
    for (let c = 0; c < 3; c++) data[3 * i + c] = palette[3 * indices[i]! + c]!;
  return data;
}

/** Where a row of the image lies, counted in rows of the file. */
const rowOf = ({ upwards, height }: Header, y: number) => (upwards ? height - 1 - y : y);

function unpackIndices(bytes: Uint8Array, header: Header, stride: number): Uint8Array {
  const { width, height, bits, start } = header;
  const indices = new Uint8Array(width * height);
  const [perByte, mask] = [8 / bits, 2 ** bits - 1];
  for (let y = 0; y < height; y++) {
    const from = start + rowOf(header, y) * stride;
    for (let x = 0; x < width; x++) {
      const shift = 8 - bits * ((x % perByte) + 1);
      indices[y * width + x] = (bytes[from + Math.floor(x / perByte)]! >> shift) & mask;
    }
  }
  return indices;
}

/** Runs of one or two indices, and escapes: end of line, end, a jump, indices as they are. */
function unpackRuns(bytes: Uint8Array, header: Header): Uint8Array {
  const { width, height, bits, start } = header;
  const indices = new Uint8Array(width * height);
  const byte = (at: number) => {
    const value = bytes[at];
    if (value === undefined) throw cut();
    return value;
  };
  let [at, x, y] = [start, 0, 0];
  const put = (index: number) => {
    if (x < width && y < height) indices[rowOf(header, y) * width + x] = index;
    x++;
  };
  const half = (value: number, i: number) => (i % 2 === 0 ? value >> 4 : value & 15);
  // A file may end without saying so, once all rows are there.
  while (y < height && !(at >= bytes.length && y === height - 1 && x >= width)) {
    const [count, value] = [byte(at), byte(at + 1)];
    at += 2;
    if (count > 0) for (let i = 0; i < count; i++) put(bits === 8 ? value : half(value, i));
    else if (value === 0) [x, y] = [0, y + 1];
    else if (value === 1) break;
    else if (value === 2) {
      x += byte(at);
      y += byte(at + 1);
      at += 2;
    } else {
      for (let i = 0; i < value; i++) put(bits === 8 ? byte(at + i) : half(byte(at + Math.floor(i / 2)), i));
      at += 2 * Math.ceil((bits === 8 ? value : Math.ceil(value / 2)) / 2);
    }
  }
  return indices;
}

function unpackColours(bytes: Uint8Array, header: Header, stride: number): Uint8Array {
  const { width, height, bits, start } = header;
  const data = new Uint8Array(3 * width * height);
  const step = bits / 8;
  const masks = header.masks.length > 0 ? header.masks : bits === 16 ? [0x7c00, 0x3e0, 0x1f] : undefined;
  const channel = (masks ?? []).map(channelOf);
  const alpha = masks?.[3] ? channel[3] : undefined;
  for (let y = 0; y < height; y++) {
    let from = start + rowOf(header, y) * stride;
    let to = 3 * y * width;
    for (let x = 0; x < width; x++, from += step, to += 3) {
      if (masks === undefined) {
        for (let c = 0; c < 3; c++) data[to + c] = bytes[from + 2 - c]!;
        continue;
      }
      let pixel = bytes[from]! | (bytes[from + 1]! << 8);
      if (bits === 32) pixel = (pixel | (bytes[from + 2]! << 16) | (bytes[from + 3]! << 24)) >>> 0;
      const opacity = alpha === undefined ? 255 : alpha(pixel);
      const white = 255 * (255 - opacity) + 127;
      for (let c = 0; c < 3; c++) data[to + c] = (channel[c]!(pixel) * opacity + white) / 255;
    }
  }
  return data;
}

/** Reads a channel by its mask, as 0 to 255. */
function channelOf(mask: number): (pixel: number) => number {
  if (mask === 0) return () => 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return (pixel) => Math.round((255 * ((pixel & mask) >>> shift)) / most);
}
