/** What the bands and depths of a file say, and what is refused because they say nothing. Values by hand. */
import { DataError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { decodeBytes } from '../decode.ts';
import { type TiffTags, tiff } from '../testing.ts';

const [UNSPECIFIED, ASSOCIATED, ALPHA] = [0, 1, 2];
const [GREY, RGB, CMYK] = [1, 2, 5];

/** Two pixels. */
async function decoded(pixels: readonly number[], tags: TiffTags) {
  const bytes = tags.bits === 16 ? new Uint8Array(Uint16Array.from(pixels).buffer) : Uint8Array.from(pixels);
  const { data, note } = await decodeBytes(tiff(2, 1, bytes, tags));
  return { values: [...data], note };
}
const NOTE = 'a band that is not said to be alpha is left out';

describe.each([false, true])('TIFF, big: %j', (big) => {
  it.each<[string, number[], Omit<TiffTags, 'big'>, number[], string?]>([
    [
      'RGB',
      [10, 20, 30, 200, 150, 100],
      { samples: 3, bits: 8, photometric: RGB },
      [10, 20, 30, 200, 150, 100],
    ],
    [
      '16-bit RGB',
      [10, 20, 30, 200, 150, 100].map((v) => 257 * v),
      { samples: 3, bits: 16, photometric: RGB },
      [10, 20, 30, 200, 150, 100],
    ],
    [
      'RGB and near-infrared',
      [10, 20, 30, 0, 200, 150, 100, 128],
      { samples: 4, bits: 8, photometric: RGB, extra: [UNSPECIFIED] },
      [10, 20, 30, 200, 150, 100],
      NOTE,
    ],
    [
      'a fourth band without a word',
      [10, 20, 30, 0, 200, 150, 100, 128],
      { samples: 4, bits: 8, photometric: RGB },
      [10, 20, 30, 200, 150, 100],
      NOTE,
    ],
    [
      '16-bit RGB and near-infrared',
      [10, 20, 30, 0, 200, 150, 100, 128].map((v) => 257 * v),
      { samples: 4, bits: 16, photometric: RGB, extra: [UNSPECIFIED] },
      [10, 20, 30, 200, 150, 100],
      NOTE,
    ],
    [
      // 255 - (255 - c) a / 255
      'alpha',
      [10, 20, 30, 0, 205, 155, 105, 51],
      { samples: 4, bits: 8, photometric: RGB, extra: [ALPHA] },
      [255, 255, 255, 245, 235, 225],
    ],
    [
      // Colours are multiplied by alpha already: c + 255 - a.
      'associated alpha',
      [0, 0, 0, 0, 41, 31, 21, 51],
      { samples: 4, bits: 8, photometric: RGB, extra: [ASSOCIATED] },
      [255, 255, 255, 245, 235, 225],
    ],
    ['grey', [10, 200], { samples: 1, bits: 8, photometric: GREY }, [10, 10, 10, 200, 200, 200]],
    ['grey, 0 being white', [10, 200], { samples: 1, bits: 8, photometric: 0 }, [245, 245, 245, 55, 55, 55]],
    [
      'grey and another band',
      [10, 0, 200, 128],
      { samples: 2, bits: 8, photometric: GREY, extra: [UNSPECIFIED] },
      [10, 10, 10, 200, 200, 200],
      NOTE,
    ],
  ])('%s', async (_, pixels, tags, values, note) => {
    expect(await decoded(pixels, { ...tags, big })).toEqual({ values, note });
  });

  it('ink of four colours stays four, and a fifth band is left out', async () => {
    const ink = [0, 255, 255, 0, 0, 0, 0, 255];
    const four = await decoded(ink, { samples: 4, bits: 8, photometric: CMYK, big });
    const with5 = [...ink.slice(0, 4), 0, ...ink.slice(4), 90];
    const five = await decoded(with5, { samples: 5, bits: 8, photometric: CMYK, extra: [UNSPECIFIED], big });
    expect(five).toEqual({ ...four, note: NOTE });
    // Magenta and yellow are red; the press's red is no pure one.
    expect(four.values[0]).toBeGreaterThan(200);
    expect(four.values[1]).toBeLessThan(60);
  });

  it.each<[string, number, Omit<TiffTags, 'big'>, string]>([
    [
      'six bands',
      12,
      { samples: 6, bits: 8, photometric: RGB, extra: [0, 0, 0] },
      '6 bands; an image has grey or red, green and blue, and alpha',
    ],
    [
      'four bands of grey',
      8,
      { samples: 4, bits: 8, photometric: GREY, extra: [0, 0, 0] },
      '4 bands, of which nothing says that they are red, green and blue; an image has grey or red, green and blue, and alpha',
    ],
    [
      'float RGB',
      24,
      { samples: 3, bits: 32, photometric: RGB, format: 3 },
      '32-bit float values, of which nothing says what is black and white; scale them to 8 or 16 bits',
    ],
    [
      'half-float grey',
      4,
      { samples: 1, bits: 16, photometric: GREY, format: 3 },
      '16-bit float values, of which nothing says what is black and white; scale them to 8 or 16 bits',
    ],
    [
      'signed grey',
      4,
      { samples: 1, bits: 16, photometric: GREY, format: 2 },
      '16-bit signed values, of which nothing says what is black and white; scale them to 8 or 16 bits',
    ],
    [
      '32-bit grey',
      8,
      { samples: 1, bits: 32, photometric: GREY },
      '32-bit values; scale them to 8 or 16 bits',
    ],
    [
      'sensor data',
      2,
      { samples: 1, bits: 8, photometric: 32_803 },
      'raw sensor data or an unknown colour space; convert it to RGB',
    ],
  ])('%s is refused by name', async (_, bytes, tags, reason) => {
    const failure = await decodeBytes(tiff(2, 1, new Uint8Array(bytes), { ...tags, big }), 'a.tif').catch(
      (e) => e,
    );
    expect(failure).toBeInstanceOf(DataError);
    expect(failure.message).toBe(`a.tif: not a readable image (${reason})`);
  });
});

it('a directory that is cut off, or leads nowhere, is one line', async () => {
  const intact = tiff(2, 1, new Uint8Array(6), { samples: 3, bits: 8, photometric: RGB });
  for (const length of [8, 12, 60]) {
    const failure = await decodeBytes(intact.subarray(0, length), 'a.tif').catch((e) => e);
    expect(failure).toBeInstanceOf(DataError);
    expect(failure.message).toMatch(/^a\.tif: not a readable image \([^\n]*\)$/);
  }
  intact.writeUInt32LE(0xfffffff0, 4);
  await expect(decodeBytes(intact, 'a.tif')).rejects.toThrow(/^a\.tif: not a readable image/);
});
