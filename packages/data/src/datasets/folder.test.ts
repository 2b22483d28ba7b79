import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { DataError } from '@moco-ts/core';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { ImageDataset } from '../dataset.ts';
import { openDataset, reopenDataset } from '../open.ts';
import { encoded, type Format, temporaryFolder, write, writeImages } from '../testing.ts';

const ids = (set: ImageDataset) => Array.from({ length: set.length }, (_, i) => set.id(i));
const root = temporaryFolder();
const RED: [number, number, number] = [220, 30, 40];

describe('image folders', () => {
  it('takes the next folders for classes, in an order of their names', async () => {
    const folder = join(root, 'classes');
    for (const name of ['zebra/b.png', 'ant/x/c.png', 'Bee/a.png', 'ant/a.png']) {
      write(join(folder, name), await encoded(RED, 'png'));
    }
    write(join(folder, 'ant/notes.txt'), 'no image');
    write(join(folder, 'ant/.hidden.png'), 'no image');
    const set = await openDataset(folder);
    expect(ids(set)).toEqual(['Bee/a.png', 'ant/a.png', 'ant/x/c.png', 'zebra/b.png']);
    expect(set.classes).toEqual(['Bee', 'ant', 'zebra']);
    expect([0, 1, 2, 3].map((i) => set.label(i))).toEqual([0, 1, 1, 2]);
    expect((await openDataset(folder, { classes: false })).classes).toBeUndefined();
  });

  it('reads a flat folder without labels, whatever the format', async () => {
    const folder = join(root, 'flat');
    const formats: [string, Format][] = [
      ['a.png', 'png'],
      ['b.JPG', 'jpeg'],
      ['c.jpeg', 'jpeg'],
      ['d.webp', 'webp'],
      ['e.gif', 'gif'],
      ['f.tiff', 'tiff'],
      ['g.avif', 'avif'],
    ];
    for (const [name, format] of formats) write(join(folder, name), await encoded(RED, format));
    write(join(folder, 'deep/er/h.png'), await encoded(RED, 'png'));
    const set = await openDataset(folder);
    expect(set.length).toBe(8);
    expect(set.classes).toBeUndefined();
    expect(set.label(0)).toBeUndefined();
    for (let i = 0; i < set.length; i++) {
      const image = await set.decode(i);
      expect([image.width, image.height, image.data.length]).toEqual([24, 16, 24 * 16 * 3]);
      // Lossy formats stay near the colour.
      for (let c = 0; c < 3; c++) expect(Math.abs(image.data[c]! - RED[c]!)).toBeLessThan(12);
    }
    expect(ids(await reopenDataset(set.source))).toEqual(ids(set));
  });

  it('keeps to train/ and val/, with the same class numbers in both', async () => {
    const folder = join(root, 'split');
    await writeImages(join(folder, 'train/cat'), 2);
    await writeImages(join(folder, 'train/dog'), 2);
    await writeImages(join(folder, 'val/dog'), 1);
    const train = await openDataset(folder);
    const test = await openDataset(folder, { split: 'test' });
    expect(ids(train)[0]).toBe('train/cat/p000.png');
    expect(ids(test)).toEqual(['val/dog/p000.png']);
    expect(test.classes).toEqual(['cat', 'dog']);
    expect(test.label(0)).toBe(1);
  });

  it('numbers classes alike in both splits, whichever folders without images lie in one of them', async () => {
    const folder = join(root, 'shift');
    for (const name of ['cat', 'dog', 'elk']) {
      await writeImages(join(folder, 'train', name), 2);
      if (name !== 'elk') await writeImages(join(folder, 'val', name), 1);
    }
    for (const name of ['@eaDir', 'Apes', 'bees/none'])
      mkdirSync(join(folder, 'train', name), { recursive: true });
    await writeImages(join(folder, 'val/@eaDir'), 1);
    await writeImages(join(folder, 'val/fox'), 1);
    const train = await openDataset(folder);
    const test = await openDataset(folder, { split: 'test' });
    for (const set of [train, test]) expect(set.classes).toEqual(['cat', 'dog', 'elk', 'fox']);
    const named = (set: ImageDataset) => ids(set).map((id, i) => [id, set.classes![set.label(i)!]]);
    for (const set of [train, test])
      for (const [id, name] of named(set)) expect(id!.split('/')[1]).toBe(name);
    expect(ids(test)).toEqual(['val/cat/p000.png', 'val/dog/p000.png', 'val/fox/p000.png']);
    for (const set of [train, test])
      expect(set.notes).toEqual([`${folder}: no images in: @eaDir, Apes, bees`]);
  });

  it('takes the Unicode forms of a name for one class', async () => {
    const folder = join(root, 'unicode');
    await writeImages(join(folder, 'train/caf\u00e9'), 1);
    await writeImages(join(folder, 'train/tea'), 1);
    await writeImages(join(folder, 'test/cafe\u0301'), 1);
    const train = await openDataset(folder);
    const test = await openDataset(folder, { split: 'test' });
    expect([train.classes, test.classes]).toEqual([
      ['caf\u00e9', 'tea'],
      ['caf\u00e9', 'tea'],
    ]);
    expect([train.label(0), test.label(0)]).toEqual([0, 0]);
    // The file is read by its name on the disk.
    expect((await test.decode(0)).width).toBe(24);
  });

  it.each([
    ['Train', 'Test'],
    ['training', 'testing'],
    ['TRAINING', 'Val'],
    ['train', 'valid'],
    ['Train', 'Validation'],
  ])('takes %s/ and %s/ for splits', async (own, other) => {
    const folder = join(root, `split-${own}-${other}`);
    await writeImages(join(folder, own, 'cat'), 2);
    await writeImages(join(folder, own, 'dog'), 2);
    await writeImages(join(folder, other, 'dog'), 1);
    await writeImages(join(folder, 'more'), 1);
    const train = await openDataset(folder);
    const test = await openDataset(folder, { split: 'test' });
    expect([train.length, test.length, test.id(0)]).toEqual([4, 1, `${other}/dog/p000.png`]);
    expect([train.classes, test.label(0)]).toEqual([['cat', 'dog'], 1]);
    expect(train.notes).toEqual([`${folder}: not read, beside ${own}/: more`]);
  });

  it('takes training/ for a class where there is no folder of test images', async () => {
    const folder = join(root, 'sports');
    for (const name of ['racing', 'training']) await writeImages(join(folder, name), 2);
    expect((await openDataset(folder)).classes).toEqual(['racing', 'training']);
  });

  it('keeps labels where a few images lie beside class folders, and says why else it does not', async () => {
    const folder = join(root, 'stray');
    for (const name of ['cat', 'dog']) await writeImages(join(folder, name), 4);
    await writeImages(folder, 1, 'stray');
    const set = await openDataset(folder);
    expect(set.classes).toEqual(['cat', 'dog']);
    expect(ids(set).map((id, i) => [id.split('/')[0], set.label(i)])).toContainEqual([
      'stray000.png',
      undefined,
    ]);
    expect(ids(set)).toHaveLength(9);
    await writeImages(folder, 7, 'stray');
    const mixed = await openDataset(folder);
    expect([mixed.classes, mixed.unlabelled]).toEqual([
      undefined,
      '7 of its 15 images lie beside its folders, such as stray000.png',
    ]);
    const single = join(root, 'single');
    await writeImages(join(single, 'all'), 2);
    expect((await openDataset(single)).unlabelled).toBe('its images lie in one folder');
  });

  it('holds out a share that is the same each time', async () => {
    const folder = join(root, 'held');
    await writeImages(folder, 60);
    await expect(openDataset(folder, { split: 'test' })).rejects.toThrow(/no test images/);
    const train = ids(await openDataset(folder, { holdOut: 0.3 }));
    const test = ids(await openDataset(folder, { split: 'test', holdOut: 0.3 }));
    expect([...train, ...test].sort()).toEqual(ids(await openDataset(folder)));
    // Binomial(60, .3): 18 expected, deviation 3.5.
    expect(test.length).toBeGreaterThan(6);
    expect(test.length).toBeLessThan(30);
  });

  it('follows a linked folder once, even in a circle', async () => {
    const folder = join(root, 'linked');
    await writeImages(join(folder, 'a'), 1);
    symlinkSync(join(folder, 'a'), join(folder, 'a/again'));
    expect((await openDataset(folder)).length).toBe(2);
  });

  it('turns images upright and puts white behind transparency; grey becomes RGB', async () => {
    const folder = join(root, 'special');
    const wide = sharp({ create: { width: 8, height: 4, channels: 3, background: '#406080' } });
    write(join(folder, 'a.jpg'), await wide.withMetadata({ orientation: 6 }).jpeg().toBuffer());
    const half = { r: 0, g: 100, b: 200, alpha: 0.5 };
    const clear = sharp({ create: { width: 2, height: 2, channels: 4, background: half } });
    write(join(folder, 'b.png'), await clear.png().toBuffer());
    const grey = sharp(Buffer.from([0, 80, 160, 255]), { raw: { width: 2, height: 2, channels: 1 } });
    write(join(folder, 'c.png'), await grey.png().toBuffer());
    write(join(folder, 'd.png'), await grey.clone().toColourspace('grey16').png().toBuffer());
    const set = await openDataset(folder);
    const upright = await set.decode(0);
    expect([upright.width, upright.height]).toEqual([4, 8]);
    const blended = (await set.decode(1)).data;
    for (const [c, value] of [128, 178, 228].entries())
      expect(Math.abs(blended[c]! - value)).toBeLessThanOrEqual(1);
    for (const i of [2, 3]) {
      expect([...(await set.decode(i)).data]).toEqual([0, 0, 0, 80, 80, 80, 160, 160, 160, 255, 255, 255]);
    }
  });

  it('names what is passed by', async () => {
    const folder = join(root, 'passed by');
    const names = [
      'a.xcf',
      'b.XCF',
      'c.xcf',
      'class/d.svg',
      'class/e.jp2',
      'README',
      '.hidden.xcf',
      'Thumbs.db',
    ];
    for (const name of names) write(join(folder, name), 'x');
    const passed = '6 files passed by: 3 .xcf, 1 without an extension, 1 .jp2, 1 .svg';
    await expect(openDataset(folder)).rejects.toThrow(`; ${passed})`);
    await writeImages(folder, 2);
    expect((await openDataset(folder)).notes).toEqual([`${folder}: ${passed}`]);
    for (const extension of ['a', 'b', 'c']) write(join(folder, `f.${extension}`), 'x');
    const [note] = (await openDataset(folder)).notes!;
    expect(note).toMatch(/: 9 files passed by: 3 .xcf, 1 without an extension, 1 .a, 1 .b, 1 .c, 2 others$/);
    await writeImages(join(root, 'only images'), 2);
    expect((await openDataset(join(root, 'only images'))).notes).toEqual([]);
  });

  it('says in one line what is wrong', async () => {
    const empty = join(root, 'empty');
    mkdirSync(empty);
    const file = join(root, 'file.png');
    write(file, await encoded(RED, 'png'));
    await expect(openDataset(join(root, 'nowhere'))).rejects.toThrow(/nowhere: no such folder$/);
    await expect(openDataset('emojis')).rejects.toThrow(/built in: emoji/);
    await expect(openDataset(empty)).rejects.toThrow(
      /empty: no images in this folder \(looked for .png, .jpg/,
    );
    await expect(openDataset(file)).rejects.toThrow(/file.png: not a folder/);
    await expect(openDataset(empty)).rejects.toBeInstanceOf(DataError);
  });

  it('names a damaged file', async () => {
    const folder = join(root, 'damaged');
    const intact = await encoded(RED, 'jpeg', 200, 200);
    write(join(folder, 'cut.jpg'), intact.subarray(0, Math.floor(intact.length * 0.6)));
    const png = await encoded(RED, 'png', 200, 200);
    write(join(folder, 'half.png'), png.subarray(0, Math.floor(png.length * 0.6)));
    write(join(folder, 'text.png'), 'not an image');
    const set = await openDataset(folder);
    for (const [i, name] of ['cut.jpg', 'half.png', 'text.png'].entries()) {
      const error: unknown = await set.decode(i).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(DataError);
      expect((error as DataError).message).toContain(name);
      expect((error as DataError).message).not.toContain('\n');
    }
  });
});
