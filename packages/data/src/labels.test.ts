import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import type { ImageDataset } from './dataset.ts';
import { labelled, labelSplits } from './labels.ts';
import { openDataset, openSplits } from './open.ts';
import { defineDataset } from './own.ts';
import { divide } from './subset.ts';
import { temporaryFolder, write, writeImages } from './testing.ts';

const root = temporaryFolder();
const ids = (set: ImageDataset) => Array.from({ length: set.length }, (_, i) => set.id(i));

/** A set with these classes, and an image for each name or odd label. */
function made(name: string, classes: string[], images: (string | number | undefined)[]): ImageDataset {
  const label = (index: number) => {
    const one = images[index];
    return typeof one === 'string' ? classes.indexOf(one) : one;
  };
  const decode = () => ({ width: 1, height: 1, data: new Uint8Array(3) });
  return defineDataset({ name, length: images.length, classes, label, decode });
}

describe('labels of two sets', () => {
  it('go by names, not by numbers', () => {
    const train = made('a', ['cat', 'dog', 'elk'], ['elk', 'cat', 'dog']);
    const test = made('b', ['dog', 'elk', 'fox'], ['dog', 'fox', 'elk']);
    const splits = labelSplits(train, test);
    expect(splits.classes).toEqual(['cat', 'dog', 'elk', 'fox']);
    expect([...splits.train.labels]).toEqual([2, 0, 1]);
    expect([...splits.test.labels]).toEqual([1, 3, 2]);
    expect(splits.notes).toEqual([
      'a: no images to measure on in cat',
      'b: no images to learn from in fox, which counts as never right',
    ]);
  });

  it('are -1 for a class that is not in the list', () => {
    const set = made('a', ['cat', 'caf\u00e9'], ['cat', 'caf\u00e9']);
    expect([...labelled(set, ['cafe\u0301'], () => {}).labels]).toEqual([-1, 0]);
  });

  it.each([2, -1, 0.5, Number.NaN])('refuse %s of two classes', (label) => {
    const set = made('a', ['cat', 'dog'], ['cat', label]);
    expect(() => labelled(set, ['cat', 'dog'], () => {})).toThrow(
      new UserError(`a: 1 has label ${label}; give one from 0 to 1`),
    );
  });

  it('leave images without a label out, and name them', () => {
    const notes: string[] = [];
    const set = made('a', ['cat', 'dog'], [undefined, 'dog', undefined, 'cat']);
    const part = labelled(set, ['cat', 'dog'], (note) => notes.push(note));
    expect([ids(part.dataset), [...part.labels]]).toEqual([
      ['1', '3'],
      [1, 0],
    ]);
    expect(notes).toEqual(['a: 2 images have no label, so they are not used: 0, 2']);
  });
});

describe('a set without a test split', () => {
  it('is divided by the rule of holdOut, and says so', async () => {
    const folder = join(root, 'albums');
    await writeImages(join(folder, '2019'), 30);
    await writeImages(join(folder, '2020'), 30);
    const { train, test, note } = await openSplits(folder);
    expect(ids(test!)).toEqual(ids(await openDataset(folder, { split: 'test', holdOut: 0.2 })));
    expect([...ids(train), ...ids(test!)].sort()).toEqual(ids(await openDataset(folder)));
    expect(note).toBe(`${folder}: no test split: ${test!.length} of 60 images are held out by a fixed rule`);
  });

  it('has an image on each side, however few there are', async () => {
    const folder = join(root, 'two');
    for (const name of ['a', 'b']) await writeImages(join(folder, name), 1);
    const { train, test } = await openSplits(folder);
    expect([train.length, test!.length]).toEqual([1, 1]);
    expect((await test!.decode(0)).width).toBe(24);
  });

  it('may have one without labels, or be a file of records', async () => {
    const folder = join(root, 'unlabelled-test');
    for (const name of ['a', 'b']) await writeImages(join(folder, 'train', name), 10);
    await writeImages(join(folder, 'test'), 5);
    const splits = await openSplits(folder);
    expect(ids(splits.test!).every((id) => id.startsWith('train/'))).toBe(true);
    expect(splits.train.length + splits.test!.length).toBe(20);
    expect(splits.note).toMatch(/no labels in its test split: \d+ of 20 images are held out/);

    const idx = join(root, 'idx');
    const count = 40;
    const header = (kind: number, ...sizes: number[]) => {
      const bytes = Buffer.from([0, 0, 8, kind, ...sizes.flatMap((size) => [0, 0, 0, size])]);
      return bytes;
    };
    const pixels = Buffer.from(Array.from({ length: count }, (_, i) => i));
    write(join(idx, 'train-images-idx3-ubyte'), Buffer.concat([header(3, count, 1, 1), pixels]));
    const labels = pixels.map((value) => value % 10);
    write(join(idx, 'train-labels-idx1-ubyte'), Buffer.concat([header(1, count), labels]));
    const { train, test } = await openSplits(idx);
    expect(train.length + test!.length).toBe(count);
    for (const set of [train, test!]) {
      for (let i = 0; i < set.length; i++) {
        const value = Number(set.id(i).split('/')[1]);
        expect([(await set.decode(i)).data[0], set.label(i)]).toEqual([value, value % 10]);
      }
    }
  });

  it('is always divided alike', async () => {
    const folder = join(root, 'alike');
    await writeImages(folder, 50);
    const undivided = await openDataset(folder);
    expect(ids(divide(undivided, 0.3).test)).toEqual(
      ids(await openDataset(folder, { split: 'test', holdOut: 0.3 })),
    );
  });
});
