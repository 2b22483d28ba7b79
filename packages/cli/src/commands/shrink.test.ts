import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { openDataset, openTest } from '@moco-ts/data';
import { describe, expect, it } from 'vitest';
import { moco, png, temporaryFolder } from '../testing.ts';

/** Files by their paths, hidden ones left out. */
const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

/** Images of 32 x 32 pixels. */
function photos(...paths: string[]): string {
  const folder = join(temporaryFolder(), 'photos');
  paths.forEach((path, i) => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), png(i, 4));
  });
  return folder;
}

const shrink = (data: string, ...flags: string[]) =>
  moco('shrink', data, '--size', '16', '-j', '1', ...flags);

describe('moco shrink', () => {
  it('copies both splits with classes and numbers, and says what it saves', async () => {
    const data = photos(
      ...['train/b/x.png', 'train/a/2.png', 'train/a/10.png', 'test/b/y.png', 'test/a/z.png'],
      'beside/no.png',
    );
    const before = filesIn(data).map((path) => [path, statSync(join(data, path)).mtimeMs]);
    const { code, out } = await shrink(data);
    expect(code).toBe(0);
    const copy = `${data}-16`;
    expect(filesIn(copy)).toEqual([
      'test/a/z.png',
      'test/b/y.png',
      'train/a/10.png',
      'train/a/2.png',
      'train/b/x.png',
    ]);
    expect(out).toMatch(/photos-16: 5 images; \d+ kB -> \d+ kB\nDecoding an image: .* ms, .* times as fast/);
    expect(out).toMatch(/\nNext: moco pretrain .*photos-16/);
    for (const open of [openDataset, openTest]) {
      const [from, to] = [(await open(data))!, (await open(copy))!];
      const facts = (set: typeof from) =>
        Array.from({ length: set.length }, (_, i) => [set.id(i), set.label(i)]);
      expect(facts(to)).toEqual(facts(from));
      expect(to.classes).toEqual(from.classes);
      expect(await to.decode(0)).toMatchObject({ width: 16, height: 16 });
    }
    expect(filesIn(data).map((path) => [path, statSync(join(data, path)).mtimeMs])).toEqual(before);
  });

  it('goes on: what is whole stays, what is empty, missing or of another time than its image is made', async () => {
    const data = photos('a.png', 'b.png', 'c.png', 'd.png');
    const copy = join(temporaryFolder(), 'small');
    await shrink(data, '--out', copy);
    const whole = readFileSync(join(copy, 'a.png'));
    const { mtime } = statSync(join(data, 'a.png'));
    expect(Math.abs(statSync(join(copy, 'a.png')).mtimeMs - mtime.getTime())).toBeLessThan(10);
    writeFileSync(join(copy, 'a.png'), 'kept as it is');
    utimesSync(join(copy, 'a.png'), mtime, mtime);
    writeFileSync(join(copy, 'b.png'), '');
    rmSync(join(copy, 'c.png'));
    writeFileSync(join(data, 'd.png'), png(9, 4));
    // As a file that is moved here from elsewhere.
    utimesSync(join(data, 'd.png'), 1e9, 1e9);
    writeFileSync(join(copy, '.moco-shrink-7.partial'), 'of a killed process');
    const again = await shrink(data, '--out', copy);
    expect([again.code, again.out]).toEqual([1, '']);
    // It decodes what is there, to time it.
    expect(again.err).toMatch(/a\.png: not a readable image/);
    expect(readFileSync(join(copy, 'a.png'), 'utf8')).toBe('kept as it is');
    writeFileSync(join(copy, 'a.png'), whole);
    utimesSync(join(copy, 'a.png'), mtime, mtime);
    const { code, out } = await shrink(data, '--out', copy);
    expect([code, out]).toEqual([0, expect.stringContaining('4 images, 4 of them made before')]);
    expect((await openDataset(copy)).length).toBe(4);
    expect(await (await openDataset(copy)).decode(1)).toMatchObject({ width: 16, height: 16 });
    expect(readFileSync(join(copy, 'd.png'))).not.toEqual(readFileSync(join(copy, 'c.png')));
    expect(existsSync(join(copy, '.moco-shrink-7.partial'))).toBe(false);
  });

  it('leaves an empty file of a damaged image, so that all others keep their numbers', async () => {
    const data = photos('a.png', 'b.png', 'c.png');
    writeFileSync(join(data, 'b.png'), 'no image');
    const { code, out, err } = await shrink(data);
    expect(code).toBe(0);
    expect(err).toMatch(/^moco: warning: left out: .*b\.png: not a readable image/);
    expect(out).toContain('2 images; ');
    expect(out).toContain('1 damaged image: an empty file keeps the numbers of all others.');
    const copy = await openDataset(`${data}-16`);
    expect([copy.length, copy.id(2)]).toEqual([3, 'c.png']);
    await expect(copy.decode(1)).rejects.toThrow(/b\.png: not a readable image/);
    const refused = await shrink(data, '--out', join(temporaryFolder(), 'x'), '--max-bad', '0');
    expect([refused.code, refused.err.trim()]).toEqual([
      1,
      expect.stringMatching(/^moco: .*1 damaged image, more than the 0 allowed/),
    ]);
  });

  it('follows links, each linked folder once, and copies what they lead to', async () => {
    const data = photos('a/x.png', 'b/y.png');
    symlinkSync(data, join(data, 'a', 'loop'));
    symlinkSync(join(data, 'a', 'x.png'), join(data, 'b', 'link.png'));
    expect((await shrink(data)).code).toBe(0);
    const set = await openDataset(data);
    const ids = Array.from({ length: set.length }, (_, i) => set.id(i));
    expect(ids.length).toBeGreaterThan(3);
    expect(filesIn(`${data}-16`)).toEqual(ids.toSorted());
  });

  it.runIf(process.platform === 'linux')('copies names that are no text', async () => {
    const data = photos('a.png');
    const name = Buffer.concat([Buffer.from(`${data}/`), Buffer.from([0xe9]), Buffer.from('.png')]);
    writeFileSync(name, png(1, 4));
    expect((await shrink(data)).code).toBe(0);
    const copy = await openDataset(`${data}-16`);
    expect([copy.id(0), copy.id(1)]).toEqual(['\\xe9.png', 'a.png']);
  });

  it.runIf(process.platform === 'linux')(
    'copies folders whose names differ by their encoding alone',
    async () => {
      const data = photos('é/a.png');
      const folder = Buffer.concat([Buffer.from(`${data}/`), Buffer.from([0xe9])]);
      mkdirSync(folder);
      writeFileSync(Buffer.concat([folder, Buffer.from('/a.png')]), png(1, 4));
      expect(await shrink(data)).toMatchObject({ code: 0, err: '' });
      const copy = await openDataset(`${data}-16`);
      expect([copy.id(0), copy.id(1)].toSorted()).toEqual(['\\xe9/a.png', 'é/a.png']);
    },
  );

  const refuse = async (args: readonly string[], message: RegExp) => {
    const { code, err } = await shrink(...(args as [string]));
    expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
    expect(err).toMatch(message);
  };

  it('writes nothing among the images, nor into a folder that holds anything else', async () => {
    const data = photos('a/x.png', 'a/y.png');
    const taken = join(temporaryFolder(), 'taken');
    mkdirSync(taken);
    writeFileSync(join(taken, 'mine.txt'), '');
    symlinkSync(data, join(taken, '..', 'link'));
    await refuse([data, '--out', join(data, 'small')], /lie in one another.*choose another --out/);
    await refuse([data, '--out', join(taken, '..', 'link', 'a', 'small')], /lie in one another/);
    await refuse([data, '--out', join(data, '..')], /lie in one another/);
    await refuse([data, '--out', taken], /taken holds other files: choose another --out/);
    expect([filesIn(data), filesIn(taken)]).toEqual([['a/x.png', 'a/y.png'], ['mine.txt']]);
    await shrink(data);
    await refuse([photos('a.png'), '--out', `${data}-16`], /holds a copy by another recipe/);
    await refuse([data, '--out', `${data}-16`, '--size', '8'], /holds a copy by another recipe/);
  });

  it('says what is no copy in a copy', async () => {
    const data = photos('a.png', 'b.png');
    await shrink(data);
    writeFileSync(join(`${data}-16`, 'aa.png'), png(5));
    await refuse([data], /photos-16 is not .*photos in small: its image 1 is aa\.png, not b\.png/);
  });

  it('refuses what is no image folder', async () => {
    await refuse(['emoji'], /emoji, no folder of image files/);
    await refuse([join(temporaryFolder(), 'no')], /no such folder/);
  });
});
