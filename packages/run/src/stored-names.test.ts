import { expect, it } from 'vitest';
import { resolveConfig, resumeConfig } from './config.ts';
import { storedConfig } from './stored.ts';
import { currentNames } from './stored-names.ts';
import { currentSettings, settingsFault } from './table.ts';

it('keys of earlier versions have their names of today, wherever they stand', () => {
  const before = {
    pictures: 3,
    meters: { spread: { sum: 1, count: 2 }, loss: { sum: 0, count: 0 } },
    cells: [{ measures: { otherHands: 4 } }, null, 'spread'],
  };
  expect(currentNames(before)).toEqual({
    images: 3,
    meters: { featureStd: { sum: 1, count: 2 }, loss: { sum: 0, count: 0 } },
    cells: [{ measures: { crossDesigner: 4 } }, null, 'spread'],
  });
});

it('a key that is no name of an object stays one', () => {
  const json = JSON.parse('{"__proto__": {"pictures": 1}, "constructor": 2}');
  expect(JSON.stringify(currentNames(json))).toBe('{"__proto__":{"images":1},"constructor":2}');
});

const dataset = { source: { data: 'photos', split: 'train' } } as const;
const flags = { data: 'photos', method: 'instdisc', arch: 'resnet18' } as const;

it('a value of earlier versions is taken as what it is called now: as a flag, an option and in a file', () => {
  const before = { ...flags, bankDraw: 'picture' as 'image' };
  expect(settingsFault(before)).toBeUndefined();
  expect(settingsFault({ bankDraw: 'toString' })?.message).toContain('Choose from image, batch.');
  expect(currentSettings({ bankDraw: 'picture', other: 'picture' })).toEqual({
    bankDraw: 'image',
    other: 'picture',
  });
  const config = resolveConfig(before, dataset);
  expect(config.bankDraw).toBe('image');
  expect(storedConfig({ ...config, bankDraw: 'picture' }, 'a file')).toEqual(config);
  const batch = { ...config, bankDraw: 'batch' } as const;
  expect(resumeConfig(batch, { bankDraw: 'picture' as 'image' }, 'a file').bankDraw).toBe('image');
});
