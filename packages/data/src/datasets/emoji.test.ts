import { describe, expect, it } from 'vitest';
import { openDataset, reopenDataset } from '../open.ts';
import { codepointsOf, DESIGNERS, isHeldOutEmoji } from './emoji.ts';

describe('the emoji set', () => {
  it.each([undefined, DESIGNERS])(
    'has no emoji on both sides, and each side has all designers (%s)',
    async (designers) => {
      const options = designers === undefined ? {} : { designers };
      const train = await openDataset('emoji', options);
      const test = await openDataset('emoji', { ...options, split: 'test' });
      const sides = [train, test].map((set) => Array.from({ length: set.length }, (_, i) => set.id(i)));
      const [trainEmoji, testEmoji] = sides.map((ids) => new Set(ids.map(codepointsOf))) as [
        Set<string>,
        Set<string>,
      ];
      expect([...testEmoji].filter((name) => trainEmoji.has(name))).toEqual([]);
      for (const ids of sides) {
        const drawnBy = new Set(ids.map((id) => id.split('/')[0]));
        expect([...drawnBy].sort()).toEqual([...(designers ?? ['google', 'twitter'])].sort());
        expect(new Set(ids).size).toBe(ids.length);
      }
      // emoji-datasource 16.0.0 has 1911 base emoji, and Google and Twitter drew all of them.
      expect(trainEmoji.size + testEmoji.size).toBe(1911);
      expect(testEmoji.size / 1911).toBeGreaterThan(0.17);
      expect(testEmoji.size / 1911).toBeLessThan(0.23);
      if (designers === undefined) expect(train.length + test.length).toBe(2 * 1911);
    },
  );

  it('labels by category and decodes 64 x 64 on white', async () => {
    const split = isHeldOutEmoji('1f600') ? 'test' : 'train';
    const set = await openDataset('emoji', { split });
    const index = Array.from({ length: set.length }, (_, i) => set.id(i)).indexOf('google/1f600');
    expect(set.classes?.[set.label(index)!]).toBe('Smileys & Emotion');
    const image = await set.decode(index);
    expect([image.width, image.height, image.data[0]]).toEqual([64, 64, 255]);
  });

  it('can be opened again from its source', async () => {
    const set = await openDataset('emoji', { split: 'test', designers: ['apple'] });
    const again = await reopenDataset(JSON.parse(JSON.stringify(set.source)));
    expect([again.length, again.id(5)]).toEqual([set.length, set.id(5)]);
    expect(set.id(5)).toMatch(/^apple\//);
  });

  it('refuses an unknown designer', async () => {
    await expect(openDataset('emoji', { designers: ['bing' as 'apple'] })).rejects.toThrow(
      /no designer 'bing'.*google/,
    );
  });
});
