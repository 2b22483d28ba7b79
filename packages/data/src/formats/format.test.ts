import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { DataError } from '@moco-ts/core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { decodeBytes } from '../decode.ts';
import { openDataset } from '../open.ts';
import { encoded, temporaryFolder, write } from '../testing.ts';
import { formatOf, sizeOf } from './format.ts';

const root = temporaryFolder();
const svg =
  '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4" fill="red"/></svg>';

it.each<[string, string | Buffer, string]>([
  ['an SVG', svg, 'SVG, which is not read; save it as PNG or JPEG'],
  [
    'an SVG behind a heading',
    `\ufeff<?xml version="1.0"?>\n<!-- ${'x'.repeat(2000)} -->\n${svg}`,
    'SVG, which is not read; save it as PNG or JPEG',
  ],
  ['a packed SVG', gzipSync(svg), 'gzip, which is not read; save it as PNG or JPEG'],
  ['a PDF', '%PDF-1.7\n', 'PDF, which is not read; save it as PNG or JPEG'],
  ['a page', '<!DOCTYPE html><html>', 'HTML, which is not read; save it as PNG or JPEG'],
  [
    'JPEG 2000',
    Buffer.from('0000000c6a5020200d0a870a', 'hex'),
    'JPEG 2000, which is not read; save it as PNG or JPEG',
  ],
  ['text', 'hello', 'of no known format'],
])('%s named .png is not opened', async (_, content, reason) => {
  const folder = join(root, reason.slice(0, 4) + content.length);
  write(join(folder, 'a.png'), content);
  const failure = await (await openDataset(folder)).decode(0).catch((error) => error);
  expect(failure).toBeInstanceOf(DataError);
  expect(failure.message).toBe(`${join(folder, 'a.png')}: not a readable image (${reason})`);
});

it('what sharp opens in another format than those is refused too', async () => {
  // libvips' own format, which sharp reads.
  const path = join(root, 'own.v');
  await sharp({ create: { width: 3, height: 3, channels: 3, background: 'red' } }).toFile(path);
  await expect(decodeBytes(readFileSync(path))).rejects.toThrow(/of no known format/);
});

it.each(['png', 'jpeg', 'webp', 'gif', 'tiff', 'avif'] as const)(
  '%s is known by its content',
  async (format) => {
    const bytes = await encoded([200, 20, 20], format, 37, 21);
    expect(formatOf(bytes)).toBe(format);
    if (format !== 'tiff' && format !== 'avif')
      expect(sizeOf(bytes, format)).toEqual({ width: 37, height: 21 });
  },
);

it('the size of every kind of WebP and of a progressive JPEG', async () => {
  const image = sharp({ create: { width: 41, height: 23, channels: 4, background: '#ff000080' } });
  for (const options of [{}, { lossless: true }, { alphaQuality: 50 }])
    expect(sizeOf(await image.clone().webp(options).toBuffer(), 'webp')).toEqual({ width: 41, height: 23 });
  expect(sizeOf(await image.clone().removeAlpha().webp().toBuffer(), 'webp')).toEqual({
    width: 41,
    height: 23,
  });
  const jpeg = await image.clone().jpeg({ progressive: true }).withMetadata({ orientation: 6 }).toBuffer();
  expect(sizeOf(jpeg, 'jpeg')).toEqual({ width: 41, height: 23 });
});

it('more names of files are taken', async () => {
  const folder = join(root, 'names');
  write(join(folder, 'a.jfif'), await encoded([200, 20, 20], 'jpeg'));
  write(join(folder, 'b.JPE'), await encoded([200, 20, 20], 'jpeg'));
  write(join(folder, 'c.ppm'), 'P3 1 1 255 1 2 3');
  write(join(folder, 'd.bmp'), await encoded([200, 20, 20], 'png'));
  const set = await openDataset(folder);
  expect(Array.from({ length: set.length }, (_, i) => set.id(i))).toEqual([
    'a.jfif',
    'b.JPE',
    'c.ppm',
    'd.bmp',
  ]);
  for (let i = 0; i < 4; i++) await set.decode(i);
});
