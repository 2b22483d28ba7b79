import { readFileSync } from 'node:fs';
import { SettingError, say, settingRef } from '@moco-ts/core';
import { settingsFault } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { inLabels } from './words.ts';

const form = readFileSync(new URL('../../index.html', import.meta.url), 'utf8');

it.each(['backend', 'arch', 'batchSize', 'mocoK', 'epochs', 'lr', 'seed'])(
  '%s has the label of its form',
  (setting) => {
    const label = inLabels(new SettingError(say`${settingRef(setting)}`)).slice(1, -1);
    expect(form).toMatch(new RegExp(`<label>${label.replaceAll(/[()]/g, '\\$&')}\\s`));
  },
);

it('what is not in its form goes by its name', () => {
  const error = new SettingError(say`change ${settingRef('batchSize')} or ${settingRef('bnSplits', 8)}`);
  expect(inLabels(error)).toBe('change "Batch" or "bnSplits" 8');
});

/** What the form offers for a setting: its options, or the least, the largest and the usual number. */
function offered(name: string): readonly number[] {
  const select = new RegExp(`<select name="${name}">(.*?)</select>`, 's').exec(form)?.[1];
  if (select) return [...select.matchAll(/<option[^>]*>(\d+)/g)].map(([, text]) => Number(text));
  const input = new RegExp(`<input name="${name}"[^>]*>`).exec(form)![0];
  return [...input.matchAll(/ (?:min|max|value)="([^"]*)"/g)].map(([, text]) => Number(text));
}

it.each([
  ['batchSize', 'batchSize'],
  ['queue', 'mocoK'],
  ['epochs', 'epochs'],
  ['lr', 'lr'],
  ['seed', 'seed'],
])('what the form offers for %s is within the bounds of %s', (name, setting) => {
  const values = offered(name);
  expect(values.length).toBeGreaterThan(2);
  for (const value of values) expect(settingsFault({ [setting]: value }), `${value}`).toBeUndefined();
  expect(settingsFault({ [setting]: -1 })).toBeDefined();
});
