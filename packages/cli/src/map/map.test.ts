import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFile } from '@moco-ts/data';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny } from '../testing.ts';
import type { MapData } from './script.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(40);

beforeAll(async () => {
  await moco('pretrain', images, '--out', at('run'), ...tiny, '--epochs', '1', '--knn-every', '0');
  expect((await moco('embed', at('run'), images, '--out', at('set.parquet'))).code).toBe(0);
});

function read(path: string): { data: MapData; sheets: Buffer[] } {
  const text = readFileSync(path, 'utf8');
  const [, json] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(text)!;
  const sheets = [...text.matchAll(/<img src="data:image\/webp;base64,([^"]*)"/g)];
  return {
    data: JSON.parse(json!) as MapData,
    sheets: sheets.map(([, base64]) => Buffer.from(base64!, 'base64')),
  };
}

describe('moco map', () => {
  it('gives the same page for the same set, and other places for another seed', async () => {
    const make = async (name: string, ...flags: string[]) => {
      const { code, out } = await moco('map', at('set.parquet'), '--out', at(name), ...flags);
      expect([code, out]).toEqual([0, expect.stringMatching(/: 40 images, \d+ kB\n$/)]);
      return readFileSync(at(name), 'utf8');
    };
    const page = await make('a.html');
    expect(await make('b.html')).toBe(page);
    expect(await make('c.html', '--seed', '1')).not.toBe(page);
    expect(page).not.toMatch(/(src|href)="(?!data:)/);
  });

  it('holds each image where it says', async () => {
    expect(
      (await moco('map', at('set.parquet'), '--out', at('s.html'), '--thumbnail', '200', '--limit', '30'))
        .err,
    ).toMatch(/^Every 1.3th of 40 images is on the map\.\n/);
    const { data, sheets } = read(at('s.html'));
    const { cell, columns, ids } = data;
    expect([cell, columns, ids.length, sheets.length]).toEqual([200, 5, 30, 2]);
    for (const i of [0, 7, 26]) {
      writeFileSync(at('sheet.webp'), sheets[Math.floor(i / 25)]!);
      const sheet = await decodeFile(at('sheet.webp'));
      const original = await decodeFile(join(images, ids[i]!));
      const [left, top] = [(i % 5) * cell, Math.floor((i % 25) / 5) * cell];
      // Colours at the middles of the image's 8 x 8 fields.
      let difference = 0;
      for (let y = 0; y < 8; y++)
        for (let x = 0; x < 8; x++)
          for (let c = 0; c < 3; c++) {
            const own = original.data[((2 * y + 1) * 16 + 2 * x + 1) * 3 + c]!;
            const [sx, sy] = [left + Math.round((x + 0.5) * 25), top + Math.round((y + 0.5) * 25)];
            difference += Math.abs(own - sheet.data[(sy * sheet.width + sx) * 3 + c]!) / 192;
          }
      // WebP's losses; another image of random colours differs by 85 on average.
      expect(difference).toBeLessThan(20);
    }
  });

  it('takes a folder, images that moved, and does without some', async () => {
    const { code } = await moco('map', images, '--model', at('run'), '--out', at('folder.html'));
    expect(code).toBe(0);
    const moved = at('moved');
    renameSync(images, moved);
    try {
      const gone = await moco('map', at('set.parquet'), '--out', at('gone.html'));
      expect([gone.code, gone.err]).toEqual([1, expect.stringMatching(/^moco: .*no such folder/)]);
      rmSync(join(moved, 'p003.png'));
      const { code, err } = await moco('map', at('set.parquet'), '--out', at('moved.html'), '--data', moved);
      expect([code, err]).toEqual([0, expect.stringContaining('warning: 1 of 40 images are gone')]);
      expect(read(at('moved.html')).data).toEqual(read(at('folder.html')).data);
      const strange = imageFolder(0);
      writeFileSync(join(strange, 'other.png'), readFileSync(join(moved, 'p001.png')));
      expect((await moco('map', at('set.parquet'), '--out', at('x.html'), '--data', strange)).err).toMatch(
        /has none of the images of .*set.parquet: name their folder with --data/,
      );
    } finally {
      renameSync(moved, images);
    }
  });

  it('refuses other names, and too few images', async () => {
    expect((await moco('map', at('set.parquet'), '--out', at('x.pdf'))).err).toMatch(/should end in .html/);
    const one = imageFolder(1);
    expect((await moco('map', one, '--model', at('run'), '--out', at('x.html'))).err).toMatch(
      /has 1 vector: a map needs two/,
    );
  });
});
