import { readFileSync } from 'node:fs';
import { SettingError, say, settingRef } from '@moco-ts/core';
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
