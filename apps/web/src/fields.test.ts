import { readFileSync } from 'node:fs';
import { SettingError } from '@moco-ts/core';
import { presets, settingNamed, settingsFault } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { withFields } from '../build/form.ts';
import { fields, settingsOf } from './fields.ts';

const page = withFields(readFileSync(new URL('../index.html', import.meta.url), 'utf8'));
const given = {
  ...{ backend: 'auto', arch: 'auto', batchSize: '64', mocoK: '512', epochs: '100', lr: '0.002', seed: '0' },
};

describe('the form of the page', () => {
  it('offers what it is meant to, with the values of the demo before those of the table', () => {
    expect(Object.fromEntries(fields.map(({ name, value }) => [name, value]))).toEqual(given);
  });
  it.each(fields)('offers for $name what the table of settings takes', ({ name, value, options }) => {
    const { rule } = settingNamed(name)!;
    for (const of of [value, ...(options ?? []).map(([option]) => option)])
      expect(settingsFault({ [name]: rule.type === 'number' ? Number(of) : of }), of).toBeUndefined();
  });
  it('has label, bounds, value and hint from the table', () => {
    expect(page).toContain('<label for="set-lr">Learning rate</label>');
    expect(page).toMatch(
      /<input name="seed"[^>]* type="number" min="0" max="4294967295" step="1" value="0" required>/,
    );
    expect(page).toMatch(/<input name="lr"[^>]* min="0" max="3.4e\+38" step="any" value="0.002" required>/);
    expect(page).toContain('<span id="hint-batchSize">images in a step</span>');
    expect(page).toContain('<option value="512" selected>512</option>');
    expect(page).toMatch(/<select name="mocoK" id="set-mocoK" aria-describedby="hint-mocoK">/);
    expect(page).not.toContain('<!-- fields -->');
    // What its label says already is no hint.
    expect(page).not.toContain('hint-lr');
  });
});

it('the page tells the rest of the recipe as it is', () => {
  expect(page.replaceAll(/\s+/g, ' ')).toContain(
    'seen at 32 pixels; the rest is the recipe of <code>moco demo</code>: MoCo v2, AdamW, temperature 0.2, momentum 0.99.',
  );
  expect(presets.emoji.flags).toMatchObject({
    ...{ imageSize: 32, method: 'moco-v2', optimizer: 'adamw', mocoT: 0.2, mocoM: 0.99 },
  });
});

describe('what the form holds', () => {
  it('becomes settings: numbers where the table has numbers', () => {
    expect(settingsOf(given)).toEqual({
      ...{ backend: 'auto', arch: 'auto', batchSize: 64, mocoK: 512, epochs: 100, lr: 0.002, seed: 0 },
    });
  });
  it('is refused by the table, as for a rate of 0', () => {
    const refused = () => settingsOf({ ...given, lr: '0' });
    expect(refused).toThrow(SettingError);
    expect(refused).toThrow('lr is 0. Give a number above 0.');
  });
});
