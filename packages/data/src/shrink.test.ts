import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeBytes, decodeFile } from './decode.ts';
import { copyNames, shrinkFile } from './shrink.ts';
import { encoded, temporaryFolder, tiff, write } from './testing.ts';

const root = temporaryFolder();
const put = (name: string, bytes: Uint8Array) => write(join(root, name), bytes);

/** Bands of noise, so that a turn, a wrong band or a loss would show. */
const noise = (width: number, height: number, channels: 1 | 3 | 4) =>
  sharp(
    Uint8Array.from({ length: width * height * channels }, (_, i) => (i * 7919 + (i >> 3) * 104_729) % 251),
    { raw: { width, height, channels } },
  );

/** The largest difference of two images of one size, of a value in [0, 255]. */
async function difference(name: string, size: number): Promise<number> {
  const original = await decodeFile(join(root, name));
  const copy = await decodeBytes(await shrinkFile(root, name, size));
  expect([copy.width, copy.height]).toEqual([original.width, original.height]);
  return copy.data.reduce((most, value, i) => Math.max(most, Math.abs(value - original.data[i]!)), 0);
}

describe('an image that is small already', () => {
  const ppm = Buffer.concat([
    Buffer.from('P6 3 2 255\n'),
    Buffer.from(Array.from({ length: 18 }, (_, i) => 13 * i)),
  ]);
  const rgba16 = Buffer.alloc(5 * 4 * 4 * 2);
  for (let i = 0; i < rgba16.length; i++) rgba16[i] = (i * 37) & 255;
  const files: Record<string, () => Promise<Uint8Array> | Uint8Array> = {
    'rgb.png': () => noise(24, 16, 3).png().toBuffer(),
    'grey.png': () => noise(24, 16, 1).png().toBuffer(),
    'alpha.png': () => noise(24, 16, 4).png().toBuffer(),
    'palette.png': () =>
      encoded([200, 20, 90], 'png').then((png) => sharp(png).png({ palette: true }).toBuffer()),
    '16 bit.png': () =>
      sharp(rgba16, { raw: { width: 5, height: 4, channels: 4 } as never })
        .toColourspace('rgb16')
        .png()
        .toBuffer(),
    'turned.png': () => noise(24, 16, 3).withMetadata({ orientation: 6 }).png().toBuffer(),
    'noise.tif': () => noise(24, 16, 3).tiff().toBuffer(),
    'unnamed band.tiff': () =>
      tiff(
        3,
        2,
        Uint8Array.from({ length: 24 }, (_, i) => 10 * i),
        { samples: 4, bits: 8, photometric: 2 },
      ),
    'one.gif': () => encoded([10, 200, 90], 'gif'),
    'pixels.ppm': () => ppm,
  };

  it.each(Object.entries(files))('is the same to training, to the value: %s', async (name, make) => {
    put(name, await make());
    expect(await difference(name, 32)).toBe(0);
  });

  it.each(['jpeg', 'webp', 'avif'] as const)(
    'is nearly the same where its format loses: %s',
    async (format) => {
      put(`lossy.${format}`, await encoded([220, 30, 40], format));
      // WebP and AVIF hold the colours of 2 x 2 pixels as one.
      expect(await difference(`lossy.${format}`, 32)).toBeLessThanOrEqual(10);
    },
  );

  it('is the same but for rounding where it loses its transparency', async () => {
    put('alpha.tiff', await noise(24, 16, 4).tiff({ compression: 'deflate' }).toBuffer());
    expect(await difference('alpha.tiff', 32)).toBeLessThanOrEqual(1);
  });

  it('keeps its transparency in PNG and WebP, and is white below it elsewhere', async () => {
    const clear = await sharp({
      create: { width: 8, height: 8, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0 } },
    })
      .png()
      .toBuffer();
    for (const [name, alpha] of [
      ['c.png', true],
      ['c.webp', true],
      ['c.jpg', false],
      ['c.avif', false],
    ] as const) {
      put(name, clear);
      const copy = await shrinkFile(root, name, 8);
      expect((await sharp(copy).metadata()).hasAlpha, name).toBe(alpha);
      expect(new Set((await decodeBytes(copy)).data), name).toEqual(new Set([255]));
    }
  });
});

describe('a JPEG that is small already', () => {
  const jpeg = (make = (image: Sharp) => image) =>
    make(noise(24, 16, 3))
      .jpeg({ quality: 60 })
      .toBuffer();
  const copyOf = async (bytes: Uint8Array) => {
    put('small.jpg', bytes);
    return Buffer.from(await shrinkFile(root, 'small.jpg', 16));
  };

  it.each([
    ['baseline', () => jpeg()],
    ['progressive', () => noise(24, 16, 3).jpeg({ progressive: true }).toBuffer()],
    ['grey', () => noise(24, 16, 1).jpeg().toBuffer()],
  ])('stays as it is, byte for byte: %s', async (_, make) => {
    const bytes = await make();
    expect((await copyOf(bytes)).equals(bytes)).toBe(true);
  });

  it.each([
    ['the place', () => jpeg((image) => image.withExif({ IFD3: { GPSLatitude: '52/1 31/1 0/1' } })), 'GPS'],
    ['a colour profile', () => jpeg((image) => image.withIccProfile('p3')), 'ICC_PROFILE'],
    ['another image behind it', async () => Buffer.concat([await jpeg(), await jpeg()]), undefined],
    [
      'a comment',
      async () => {
        const bytes = await jpeg();
        const comment = Buffer.from([0xff, 0xfe, 0, 8, ...Buffer.from('secret')]);
        return Buffer.concat([bytes.subarray(0, 2), comment, bytes.subarray(2)]);
      },
      'secret',
    ],
  ])('is written anew without %s', async (_, make, text) => {
    const bytes = await make();
    const copy = await copyOf(bytes);
    expect(copy.equals(bytes)).toBe(false);
    const { exif, icc, format, comments } = await sharp(copy).metadata();
    expect({ exif, icc, format, comments }).toEqual({ format: 'jpeg' });
    if (text) expect(copy.includes(text)).toBe(false);
    expect(copy.indexOf(Buffer.from([0xff, 0xd9]))).toBe(copy.length - 2);
  });

  it('is no copy where it is cut off', async () => {
    const bytes = await jpeg();
    const cut = Buffer.concat([bytes.subarray(0, bytes.length >> 1), Buffer.from([0xff, 0xd9])]);
    await expect(copyOf(cut)).rejects.toThrow('small.jpg');
  });
});

describe('a larger image', () => {
  it.each([
    ['wide', 100, 40, 50, 20],
    ['tall', 40, 100, 20, 50],
    ['narrow already', 200, 20, 200, 20],
  ])('has a shorter side of the size, and its proportions: %s', async (name, width, height, ...expected) => {
    put(`${name}.png`, await noise(width, height, 3).png().toBuffer());
    const copy = await decodeBytes(await shrinkFile(root, `${name}.png`, 20));
    expect([copy.width, copy.height]).toEqual(expected);
  });

  it('is turned upright, and keeps no metadata', async () => {
    // Red above blue as it is stored; turned by 90 degrees clockwise, red is on the right.
    const rows = Buffer.from(
      Array.from({ length: 64 * 32 }, (_, i) => (i < 32 * 32 ? [255, 0, 0] : [0, 0, 255])).flat(),
    );
    const image = sharp(rows, { raw: { width: 32, height: 64, channels: 3 } })
      .withExif({ IFD0: { Copyright: 'somebody' }, IFD3: { GPSLatitude: '52/1 31/1 0/1' } })
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100 });
    put('gps.jpg', await image.toBuffer());
    const file = await shrinkFile(root, 'gps.jpg', 16);
    const { exif, orientation, icc, xmp, format } = await sharp(file).metadata();
    expect({ exif, orientation, icc, xmp, format }).toEqual({ format: 'jpeg' });
    const { width, height, data } = await decodeBytes(file);
    expect([width, height]).toEqual([32, 16]);
    const [left, right] = [data.subarray(0, 3), data.subarray(3 * 31, 3 * 32)];
    expect([left[2]! > 200, right[0]! > 200]).toEqual([true, true]);
  });

  it('is the first frame of an animation', async () => {
    const frames = Buffer.concat([Buffer.alloc(64 * 64 * 3, 40), Buffer.alloc(64 * 64 * 3, 210)]);
    const gif = await sharp(frames, { raw: { width: 64, height: 128, channels: 3, pageHeight: 64 } as never })
      .gif({ loop: 0 })
      .toBuffer();
    expect((await sharp(gif).metadata()).pages).toBe(2);
    put('two.gif', gif);
    const { width, height, data } = await decodeBytes(await shrinkFile(root, 'two.gif', 16));
    expect([width, height]).toEqual([16, 16]);
    expect(Math.max(...data)).toBeLessThan(60);
  });

  it('goes by its content where its name says another format, and is written as its name says', async () => {
    put('truly.png', await encoded([10, 200, 90], 'jpeg', 64, 64));
    expect((await sharp(await shrinkFile(root, 'truly.png', 16)).metadata()).format).toBe('png');
  });

  it('that is damaged is refused by its name', async () => {
    put('half.png', (await noise(64, 64, 3).png().toBuffer()).subarray(0, 400));
    await expect(shrinkFile(root, 'half.png', 16)).rejects.toThrow(/half\.png: not a readable image/);
  });
});

describe('names of copies', () => {
  it('are those of the images, longer where their format can not be written', () => {
    expect(
      copyNames(['a.JPG', 'b.bmp', 'c.heic', 'c.jpg', 'd.png', 'd.webp', 'e.tif', 'f.gif', 'x/g.avif']),
    ).toEqual([
      ...[
        'a.JPG',
        'b.bmp.png',
        'c.heic.jpg',
        'c.jpg',
        'd.png',
        'd.webp',
        'e.tif',
        'f.gif.png',
        'x/g.avif.jpg',
      ],
    ]);
  });

  it('sort as the images do, and are no two the same', () => {
    const parts = [
      'a',
      'a.bmp',
      'a.bmp-1',
      'a.bmp 2',
      'a.bmp.png',
      'a.bmp.png.bmp',
      'a.bmp/b',
      'a.bmq',
      'A',
      'é',
    ];
    const ends = ['.bmp', '.heic', '.jpg', '.png', '.gif', '.bmp.png', '.heic.jpg', '-.heic', '.gif!.png'];
    const ids = [...new Set(parts.flatMap((part) => ends.map((end) => part + end)))].sort();
    const names = copyNames(ids);
    expect(names.toSorted()).toEqual(names);
    expect(new Set(names).size).toBe(ids.length);
    expect(names).toContain('a.bmp.png');
  });
});
