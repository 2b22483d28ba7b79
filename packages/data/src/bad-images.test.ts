/** Folders as people have them: what is odd is handled, what is no image is told. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { DataError, rng } from '@moco-ts/core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { withoutRepeats } from './decode.ts';
import { openDataset } from './open.ts';
import { encoded, temporaryFolder, write } from './testing.ts';
import { applyView } from './views/apply.ts';
import { views } from './views/config.ts';
import { sampleView } from './views/sample.ts';

const root = temporaryFolder();
const RED: [number, number, number] = [220, 30, 40];
const red = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: '#dc1e28' } });

/** A PNG that says to be of a size, with no pixels. */
function header(width: number, height: number): Buffer {
  const ihdr = Buffer.alloc(25);
  ihdr.writeUInt32BE(13, 0);
  ihdr.write('IHDR', 4);
  ihdr.writeUInt32BE(width, 8);
  ihdr.writeUInt32BE(height, 12);
  ihdr.set([8, 2], 16);
  ihdr.writeUInt32BE(crc32(ihdr.subarray(4, 21)), 21);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    ihdr,
    Buffer.from('0000000049444154', 'hex'),
  ]);
}

const handled: Record<string, () => Promise<Buffer>> = {
  'a PNG named .jpg': () => encoded(RED, 'png'),
  'CMYK.jpg': () => red(24, 16).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
  '16 bit.png': () => red(24, 16).toColourspace('rgb16').png().toBuffer(),
  'one pixel.png': () => red(1, 1).png().toBuffer(),
  'a line.png': () => red(1, 20_000).png().toBuffer(),
  'cafe\u0301 \u7d75.png': () => encoded(RED, 'png'),
  'two\nlines.png': () => encoded(RED, 'png'),
};

it.each(Object.keys(handled))('%j is read, and views are made of it', async (name) => {
  const folder = join(root, `handled-${Object.keys(handled).indexOf(name)}`);
  write(
    join(folder, name.includes('.') && !name.startsWith('a PNG') ? name : 'mislabelled.jpg'),
    await handled[name]!(),
  );
  const image = await (await openDataset(folder)).decode(0);
  expect(image.data).toHaveLength(3 * image.width * image.height);
  // CMYK and JPEG are near it alone.
  for (let c = 0; c < 3; c++) expect(Math.abs(image.data[c]! - [220, 30, 40][c]!)).toBeLessThan(40);
  const [config] = views.v1({ size: 16 });
  const params = sampleView(config, rng(0, 'test'), image.width, image.height);
  const view = applyView(image, params, { size: 16, mean: [0, 0, 0], std: [1, 1, 1] });
  expect(view.every((value) => value >= 0 && value <= 1)).toBe(true);
});

it.each(['gif', 'webp'] as const)('of an animated %s the first frame is taken', async (format) => {
  const folder = join(root, `animated-${format}`);
  const frames = Buffer.concat([Buffer.alloc(8 * 8 * 3, 255), Buffer.alloc(8 * 8 * 3, 0)]);
  const both = sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } });
  write(
    join(folder, `a.${format}`),
    await both[format]({ ...(format === 'webp' && { lossless: true }) }).toBuffer(),
  );
  const image = await (await openDataset(folder)).decode(0);
  expect([image.width, image.height, image.data[0]]).toEqual([8, 8, 255]);
});

it.each([
  ['nothing at all', () => Buffer.alloc(0), /not a readable image/],
  ['900 million pixels', () => header(30_000, 30_000), /more than 67 million pixels: make it smaller$/],
] as const)('%s is told in one line', async (name, bytes, message) => {
  const folder = join(root, name);
  write(join(folder, 'a.png'), bytes());
  const error: unknown = await (await openDataset(folder)).decode(0).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(DataError);
  expect((error as DataError).message).toMatch(message);
});

it('what libvips repeats is told once', () => {
  const [end, bad] = ['VipsJpeg: premature end of JPEG image', 'VipsJpeg: Invalid component ID 255 in SOS'];
  expect(withoutRepeats([`bad header: ${end}`, end, bad, end, bad].join('\n'))).toBe(
    `bad header: ${end}; ${bad}`,
  );
});

it('a damaged image whose name has lines is told in one', async () => {
  const folder = join(root, 'lines');
  write(join(folder, 'two\nlines\u001b[31m.png'), 'x');
  const error = await (await openDataset(folder)).decode(0).catch((caught: Error) => caught);
  expect((error as Error).message).toMatch(/two; lines\\x1b\[31m\.png: not a readable image/);
});

it('pipes, devices and folders with names of images are passed by; links to nothing are told', async () => {
  const folder = join(root, 'special');
  mkdirSync(join(folder, 'folder.jpg'), { recursive: true });
  execFileSync('mkfifo', [join(folder, 'pipe.jpg')]);
  symlinkSync('/dev/zero', join(folder, 'device.png'));
  symlinkSync(join(folder, 'pipe.jpg'), join(folder, 'link to the pipe.jpg'));
  symlinkSync('nowhere', join(folder, 'to nothing.png'));
  write(join(folder, 'good.png'), await encoded(RED, 'png'));
  symlinkSync('good.png', join(folder, 'link.png'));
  const set = await openDataset(folder);
  const ids = Array.from({ length: set.length }, (_, i) => set.id(i));
  expect(ids).toEqual(['good.png', 'link.png', 'to nothing.png']);
  await expect(set.decode(2)).rejects.toThrow(/to nothing\.png: not a readable image/);
});
