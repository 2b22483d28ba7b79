/**
 * What the samples of a TIFF mean. libvips takes a fourth band for alpha and any float for a colour from 0 to 1 or 0 to 255;
 * only the file's tags say what is meant (TIFF 6.0, BigTIFF).
 */
import type { Size } from './format.ts';

/** Some bytes of a file; fewer where it ends. */
export type ReadAt = (offset: number, length: number) => Promise<Uint8Array> | Uint8Array;

export interface TiffTraits extends Size {
  /** Why it can't be an RGB image of 8 or 16 bits; undefined where it can. */
  readonly refused?: string;
  /** A last band of which the file does not say that it is alpha. */
  readonly unnamedBand: boolean;
}

const TAG = { width: 256, height: 257, bits: 258, photometric: 262, samples: 277, extra: 338, format: 339 };
const FORMATS: Readonly<Record<number, string>> = { 2: 'signed', 3: 'float', 5: 'complex', 6: 'complex' };
/** Colour samples by PhotometricInterpretation: grey, RGB, palette, mask, CMYK, YCbCr, three kinds of Lab. */
const COLOURS: Readonly<Record<number, number>> = {
  ...{ 0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3 },
};
const GREY = [0, 1];
const ALPHA = [1, 2];

/** @returns undefined where the tags can't be read: the decoder tells why */
export async function tiffTraits(read: ReadAt): Promise<TiffTraits | undefined> {
  const tags = await firstDirectory(read).catch((error: unknown) => {
    if (!(error instanceof RangeError)) throw error;
  });
  const width = tags?.get(TAG.width)?.[0];
  const height = tags?.get(TAG.height)?.[0];
  if (tags === undefined || width === undefined || height === undefined) return undefined;
  const samples = tags.get(TAG.samples)?.[0] ?? 1;
  const bits = tags.get(TAG.bits) ?? [1];
  const format = FORMATS[tags.get(TAG.format)?.find((value) => value in FORMATS) ?? 1];
  const photometric = tags.get(TAG.photometric)?.[0] ?? 1;
  const colours = COLOURS[photometric];
  const depth = Math.max(...bits);
  let refused: string | undefined;
  if (format !== undefined)
    refused = `${depth}-bit ${format} values, of which nothing says what is black and white; scale them to 8 or 16 bits`;
  else if (depth > 16) refused = `${depth}-bit values; scale them to 8 or 16 bits`;
  else if (colours === undefined) refused = 'raw sensor data or an unknown colour space; convert it to RGB';
  else if (samples - colours > 1) {
    const unsaid =
      GREY.includes(photometric) && samples < 5
        ? ', of which nothing says that they are red, green and blue'
        : '';
    refused = `${samples} bands${unsaid}; an image has grey or red, green and blue, and alpha`;
  }
  const extra = tags.get(TAG.extra)?.[0];
  const unnamedBand = colours !== undefined && samples - colours === 1 && !ALPHA.includes(extra ?? 0);
  return { width, height, unnamedBand, ...(refused !== undefined && { refused }) };
}

/** Bytes of a value by its type: BYTE, SHORT, LONG, LONG8. */
const WIDTHS: Readonly<Record<number, number>> = { 1: 1, 3: 2, 4: 4, 16: 8 };
/** More values than a tag of interest has. */
const MOST_VALUES = 64;
const MOST_TAGS = 4096;

/** The unsigned numbers of the first directory, by tag. @throws RangeError where it is cut off */
async function firstDirectory(read: ReadAt): Promise<Map<number, number[]>> {
  const view = async (offset: number, length: number) => {
    const bytes = await read(offset, length);
    return new DataView(bytes.buffer, bytes.byteOffset, Math.min(length, bytes.byteLength));
  };
  const head = await view(0, 16);
  const little = head.getUint8(0) === 0x49;
  const big = head.getUint16(2, little) === 43;
  const offsetAt = (at: DataView, place: number) =>
    big ? Number(at.getBigUint64(place, little)) : at.getUint32(place, little);
  const start = offsetAt(head, big ? 8 : 4);
  const counted = await view(start, 8);
  const count = big ? Number(counted.getBigUint64(0, little)) : counted.getUint16(0, little);
  const [before, entry, inline] = big ? [8, 20, 12] : [2, 12, 8];
  if (count > MOST_TAGS) throw new RangeError('too many tags');
  const directory = await view(start + before, count * entry);
  const tags = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const at = i * entry;
    const tag = directory.getUint16(at, little);
    const width = WIDTHS[directory.getUint16(at + 2, little)];
    if (width === undefined || !Object.values(TAG).includes(tag)) continue;
    const values = Math.min(offsetAt(directory, at + 4), MOST_VALUES);
    const room = big ? 8 : 4;
    const held = values * width <= room;
    const from = held ? directory : await view(offsetAt(directory, at + inline), values * width);
    const first = held ? at + inline : 0;
    tags.set(
      tag,
      Array.from({ length: values }, (_, v) => numberAt(from, first + v * width, width, little)),
    );
  }
  return tags;
}

function numberAt(view: DataView, at: number, width: number, little: boolean): number {
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at, little);
  return width === 4 ? view.getUint32(at, little) : Number(view.getBigUint64(at, little));
}
