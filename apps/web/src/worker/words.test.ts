import { SettingError, say, settingRef } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { fields, settingsOf } from '../fields.ts';
import { inLabels } from './words.ts';

it.each(fields)('$name goes by the label of its form', ({ name, label }) => {
  expect(inLabels(new SettingError(say`${settingRef(name)}`))).toBe(`"${label}"`);
});

it('what is not in its form goes by its name', () => {
  const error = new SettingError(say`change ${settingRef('batchSize')} or ${settingRef('bnSplits', 8)}`);
  expect(inLabels(error)).toBe('change "Batch" or "bnSplits" 8');
});

it('a value that the table refuses is told by the label of its field', () => {
  const values = Object.fromEntries(fields.map(({ name, value }) => [name, value]));
  try {
    settingsOf({ ...values, lr: '0' });
    expect.unreachable();
  } catch (error) {
    expect(inLabels(error as SettingError)).toBe('"Learning rate" is 0. Give a number above 0.');
  }
});
