import { describe, expect, it } from 'vitest';
import { resolveConfig } from './config.ts';
import { builtInMethods } from './methods/index.ts';
import { durationText, faultOf } from './rule.ts';
import { settings, settingsFault } from './table.ts';

const folder = { source: { data: 'photos', split: 'train' as const } };

describe('the table of settings', () => {
  it.each(builtInMethods)('takes the defaults of $name, and has a rule for each', ({ name: method }) => {
    for (const arch of ['resnet50', 'vit_small']) {
      const config = resolveConfig({ data: 'photos', method, arch }, folder);
      expect(settingsFault(config)).toBeUndefined();
      expect(Object.keys(config).filter((key) => !Object.hasOwn(settings, key))).toEqual([]);
    }
  });

  it.each([
    [{ workers: 1e9 }, 'workers is 1000000000. Give a whole number from 0 to 256.'],
    [{ threads: 1.5 }, 'threads is 1.5. Give a whole number from 1 to 1024.'],
    [{ mocoT: 0 }, 'mocoT is 0. Give a number above 0, at most 1000.'],
    [{ lr: Number.POSITIVE_INFINITY }, 'lr is Infinity. Give a number above 0.'],
    [{ wd: Number.NaN }, 'wd is NaN. Give a number from 0.'],
    [{ mocoM: '0.9' }, 'mocoM is "0.9". Give a number from 0 to 1.'],
    [
      { method: 'byol' },
      'method is "byol". Choose from moco-v1, moco-v2, moco-v3, simclr, instdisc, distill.',
    ],
    [{ mlp: 1 }, 'mlp is 1. Give true or false.'],
    [{ data: 'a\0b' }, 'data is "a\\u0000b". Give a text of at most 4096 characters.'],
    [{ std: [1, 0, 1] }, 'std is [1,0,1]. Give a number above 0, at most 1000.'],
    [{ mean: [1, 1] }, 'mean is [1,1]. Give a list of 3 values.'],
    [{ time: 0.5 }, 'time is 0.5. Give a time from 1s on, such as 90s, 30m or 1h30m.'],
    [{ time: '30' }, 'time is "30". Give a time from 1s on, such as 90s, 30m or 1h30m.'],
    [{ time: '' }, 'time is "". Give a time from 1s on, such as 90s, 30m or 1h30m.'],
    [{ devices: '0,' }, 'devices is "0,". Give all, how many, or their numbers, as 0,1.'],
    [{ devices: 4 }, 'devices is 4. Give all, how many, or their numbers, as 0,1.'],
    [{ schedule: null }, 'schedule is null. Give a list of 0 to 1000 values.'],
  ])('names what is out of its range: %o', (settings, message) => {
    const [[setting, value]] = Object.entries(settings) as [[string, unknown]];
    expect(settingsFault(settings)).toMatchObject({ code: 'setting-invalid', setting, value, message });
  });

  it('passes over what it does not know and what is not given', () => {
    expect(settingsFault({ images: -1, threads: undefined, constructor: 1 })).toBeUndefined();
  });

  it('takes the bounds themselves', () => {
    expect([0, 1].map((value) => faultOf(settings.mocoM.rule, value))).toEqual([undefined, undefined]);
    expect(faultOf(settings.cropMin.rule, 1)).toBeUndefined();
    expect(faultOf(settings.seed.rule, 2 ** 32 - 1)).toBeUndefined();
    expect(faultOf(settings.seed.rule, 2 ** 32)).toMatch('Give a whole number from 0 to 4294967295.');
  });
});

it.each([
  ['90s', 90, '1m30s'],
  ['30m', 1800, '30m'],
  ['1h30m', 5400, '1h30m'],
  ['1d12h', 129_600, '1d12h'],
  ['1.5s', 1.5, '1.5s'],
  ['0.5h', 1800, '30m'],
  [90, 90, '1m30s'],
] as const)('takes %o for a time of %d seconds, and calls it %s', (time, seconds, text) => {
  expect(faultOf(settings.time.rule, time)).toBeUndefined();
  const given = { data: 'photos', time: time as number };
  expect(resolveConfig(given, folder).time).toBe(seconds);
  expect(durationText(seconds)).toBe(text);
});
