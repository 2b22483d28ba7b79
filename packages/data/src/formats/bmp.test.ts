/** BMPs by hand, after Microsoft's description of the format. */
import { DataError } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { decodeBytes } from '../decode.ts';

interface Parts {
  readonly width: number;
  /** Below 0: rows from the top. */
  readonly height: number;
  readonly bits: number;
  readonly compression?: number;
  /** Of the header; 12, 40, 56, 108 or 124. */
  readonly header?: number;
  readonly masks?: readonly number[];
  /** B, G, R, 0 each. */
  readonly palette?: readonly number[];
  readonly pixels: readonly number[];
}

function bmp({ width, height, bits, compression = 0, header = 40, masks = [], palette = [], pixels }: Parts) {
  const front = Buffer.alloc(14 + header + (header === 40 ? 4 * masks.length : 0));
  front.write('BM');
  front.writeUInt32LE(front.length + palette.length, 10);
  front.writeUInt32LE(header, 14);
  if (header === 12)
    for (const [i, value] of [width, height, 1, bits].entries()) front.writeUInt16LE(value, 18 + 2 * i);
  else {
    front.writeInt32LE(width, 18);
    front.writeInt32LE(height, 22);
    front.writeUInt16LE(1, 26);
    front.writeUInt16LE(bits, 28);
    front.writeUInt32LE(compression, 30);
    front.writeUInt32LE(palette.length / 4, 46);
    for (const [i, mask] of masks.entries()) front.writeUInt32LE(mask, 54 + 4 * i);
  }
  return Buffer.concat([front, Buffer.from(palette), Buffer.from(pixels)]);
}

const [R, G, B, W] = [
  [255, 0, 0],
  [0, 255, 0],
  [0, 0, 255],
  [255, 255, 255],
];
const four = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0];
const u16 = (...values: number[]) => [...Buffer.from(Uint16Array.from(values).buffer)];
const u32 = (...values: number[]) => [...Buffer.from(Uint32Array.from(values).buffer)];

/** 2 x 2 pixels: red, green; blue, white. Rows lie from the bottom. */
const drawn: Record<string, Parts> = {
  '24 bits': {
    width: 2,
    height: 2,
    bits: 24,
    pixels: [255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0],
  },
  '24 bits from the top': {
    width: 2,
    height: -2,
    bits: 24,
    pixels: [0, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0, 255, 255, 255, 0, 0],
  },
  // The fourth byte is unused, not alpha.
  '32 bits': { width: 2, height: 2, bits: 32, pixels: u32(0xff, 0xffffff, 0xff0000, 0xff00) },
  '32 bits, version 5': {
    width: 2,
    height: 2,
    bits: 32,
    header: 124,
    pixels: u32(0xff, 0xffffff, 0xff0000, 0xff00),
  },
  '32 bits with masks': {
    width: 2,
    height: 2,
    bits: 32,
    compression: 3,
    masks: [0xff, 0xff00, 0xff0000],
    pixels: u32(0xff0000, 0xffffff, 0xff, 0xff00),
  },
  '10 bits each': {
    width: 2,
    height: 2,
    bits: 32,
    compression: 3,
    masks: [0x3ff00000, 0xffc00, 0x3ff],
    pixels: u32(0x3ff, 0x3fffffff, 0x3ff00000, 0xffc00),
  },
  '16 bits': { width: 2, height: 2, bits: 16, pixels: u16(0x1f, 0x7fff, 0x7c00, 0x3e0) },
  '16 bits with masks': {
    width: 2,
    height: 2,
    bits: 16,
    compression: 3,
    masks: [0xf800, 0x7e0, 0x1f],
    pixels: u16(0x1f, 0xffff, 0xf800, 0x7e0),
  },
  '8 bits': { width: 2, height: 2, bits: 8, palette: four, pixels: [2, 3, 0, 0, 0, 1, 0, 0] },
  '4 bits': { width: 2, height: 2, bits: 4, palette: four, pixels: [0x23, 0, 0, 0, 0x01, 0, 0, 0] },
  RLE8: {
    width: 2,
    height: 2,
    bits: 8,
    compression: 1,
    palette: four,
    pixels: [1, 2, 1, 3, 0, 0, 1, 0, 1, 1, 0, 1],
  },
  'RLE8, as they are': {
    width: 2,
    height: 2,
    bits: 8,
    compression: 1,
    palette: four,
    pixels: [0, 3, 2, 3, 9, 0, 0, 0, 1, 0, 1, 1, 0, 1],
  },
  RLE4: {
    width: 2,
    height: 2,
    bits: 4,
    compression: 2,
    palette: four,
    pixels: [2, 0x23, 0, 0, 2, 0x01, 0, 1],
  },
  'OS/2': {
    width: 2,
    height: 2,
    bits: 24,
    header: 12,
    pixels: [255, 0, 0, 255, 255, 255, 0, 0, 0, 0, 255, 0, 255, 0, 0, 0],
  },
};

it.each(Object.keys(drawn))('%s', async (name) => {
  const { data, width, height } = await decodeBytes(bmp(drawn[name]!));
  expect({ width, height, data: [...data] }).toEqual({ width: 2, height: 2, data: [R, G, B, W].flat() });
});

it('of one bit, and of a width that fills no byte', async () => {
  const pixels = [0b10110000, 0b01000000, 0, 0];
  const palette = [0, 0, 0, 0, 255, 255, 255, 0];
  const { data } = await decodeBytes(bmp({ width: 10, height: 1, bits: 1, palette, pixels }));
  expect([...data].filter((_, i) => i % 3 === 0)).toEqual([255, 0, 255, 255, 0, 0, 0, 0, 0, 255]);
});

it('alpha is where a mask says so', async () => {
  const masks = [0xff0000, 0xff00, 0xff, 0xff000000];
  const pixels = u32(0x33cd9b69);
  const { data } = await decodeBytes(
    bmp({ width: 1, height: 1, bits: 32, compression: 3, header: 108, masks, pixels }),
  );
  // 255 - (255 - c) 51 / 255
  expect([...data]).toEqual([245, 235, 225]);
});

it('a jump leaves the first colour', async () => {
  const pixels = [0, 2, 1, 1, 1, 3, 0, 1];
  const { data } = await decodeBytes(
    bmp({ width: 2, height: 2, bits: 8, compression: 1, palette: four, pixels }),
  );
  expect([...data]).toEqual([...R!, ...W!, ...R!, ...R!]);
});

it.each<[string, Buffer, string]>([
  ['cut off', bmp({ ...drawn['24 bits']!, pixels: [1, 2, 3] }), 'the file is cut off'],
  ['cut in a run', bmp({ ...drawn.RLE8!, pixels: [1, 2, 1] }), 'the file is cut off'],
  ['cut in the header', Buffer.from('BM123456'), 'the file is cut off'],
  [
    'an embedded JPEG',
    bmp({ width: 2, height: 2, bits: 24, compression: 4, pixels: [] }),
    'a BMP of 24 bits in compression 4',
  ],
  ['no pixels', bmp({ width: 0, height: 2, bits: 24, pixels: [] }), '0 x 2 pixels'],
])('%s is told', async (_, bytes, reason) => {
  const failure = await decodeBytes(bytes, 'a.bmp').catch((error) => error);
  expect(failure).toBeInstanceOf(DataError);
  expect(failure.message).toBe(`a.bmp: not a readable image (${reason})`);
});

it('too many pixels are told before memory is taken', async () => {
  const bytes = bmp({
    width: 100_000,
    height: 100_000,
    bits: 8,
    compression: 1,
    palette: four,
    pixels: [0, 1],
  });
  await expect(decodeBytes(bytes, 'a.bmp')).rejects.toThrow(
    'a.bmp: more than 67 million pixels: make it smaller',
  );
});
