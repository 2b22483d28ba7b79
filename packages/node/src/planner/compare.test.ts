import { defineDataset } from '@moco-ts/data';
import { describe, expect, it } from 'vitest';
import { chanceOf, comparedRows, pixelFeatures } from './compare.ts';

const images = (length: number, rest: object = {}) =>
  defineDataset({
    name: 'images',
    length,
    decode: () => ({ width: 1, height: 1, data: new Uint8Array(3) }),
    ...rest,
  });

describe('chance', () => {
  it('of finding the original of an edited copy is one in all', () => {
    expect(chanceOf({ test: images(40) })).toEqual({ editedCopies: 2.5 });
  });

  it('of a class is that of its most frequent one', () => {
    expect(chanceOf({ test: images(40), guess: { classes: 4, accuracy: 30 } })).toEqual({ knn: 30 });
  });

  it("of another designer's drawing is one in those of that designer", () => {
    const ids = ['a/1', 'a/2', 'b/1', 'b/2'];
    const own = images(4, {
      classes: ['x', 'y'],
      id: (i: number) => ids[i],
      label: (i: number) => (i === 3 ? 1 : 0),
    });
    const test = { ...own, source: { data: 'emoji', split: 'test' } } as const;
    expect(chanceOf({ test })).toEqual({ editedCopies: 25, crossDesigner: 50, neighbour: 75 });
  });
});

describe('pixels as features', () => {
  it('are those of small images as they are', async () => {
    const { dim, extract } = pixelFeatures(2);
    const image = Float32Array.from({ length: 12 }, (_, i) => i);
    expect([dim, [...(await extract(image))]]).toEqual([12, [...image]]);
  });

  it('are means of cells of larger ones, plane by plane', async () => {
    const { dim, extract } = pixelFeatures(64);
    expect(dim).toBe(3 * 32 * 32);
    const two = Float32Array.from({ length: 2 * 3 * 64 * 64 }, (_, i) => i);
    const pooled = await extract(two);
    expect(pooled).toHaveLength(2 * dim);
    // Rows 0 and 1, columns 0 and 1: 0, 1, 64, 65.
    expect(pooled[0]).toBe(32.5);
    // The next plane begins 4096 values on, the next row of cells 128.
    expect([pooled[1024], pooled[32]]).toEqual([4096 + 32.5, 128 + 32.5]);
  });

  it('are means where the cells are of unequal size', async () => {
    const { extract } = pixelFeatures(33);
    expect(new Set(await extract(new Float32Array(3 * 33 * 33).fill(7)))).toEqual(new Set([7]));
  });
});

it('compares what the trained encoder has a measure of', () => {
  const rows = comparedRows(
    { editedCopies: 20 },
    { editedCopies: 10, knn: 50 },
    { editedCopies: 40, knn: 80 },
    { knn: 10 },
  );
  expect(rows).toEqual([
    { measure: 'knn', pixels: undefined, before: 50, after: 80, chance: 10 },
    { measure: 'editedCopies', pixels: 20, before: 10, after: 40, chance: undefined },
  ]);
});
