import { say, settingRef } from '@moco-ts/core';
import { settingEntries } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { createProgram } from './main.ts';
import { inFlags } from './words.ts';

it.each([
  [settingRef('mocoK', 64), '--moco-k 64'],
  [settingRef('stopGradConv1'), '--stop-grad-conv1'],
  // Of two long flags the first.
  [settingRef('wd', 0.1), '--wd 0.1'],
  [settingRef('data'), 'DATA'],
  [settingRef('withHead'), '--with-head'],
  [settingRef('prefix', undefined, 'moco import'), 'moco import --prefix'],
  [settingRef('resume', "'a run'", 'moco pretrain'), "moco pretrain --resume 'a run'"],
])('%o is %s', (setting, flag) => {
  expect(inFlags(say`leave ${setting} out`)).toBe(`leave ${flag} out`);
});

it('leaves a text as it is', () => {
  expect(inFlags('mocoK stays')).toBe('mocoK stays');
});

it('names settings by flags that the command has', () => {
  const quiet = { out: () => {}, err: () => {}, live: false, color: false };
  const pretrain = createProgram(quiet, () => {}).commands.find((command) => command.name() === 'pretrain')!;
  const known = new Set(pretrain.options.flatMap(({ flags }) => flags.match(/--[a-z0-9-]+/g) ?? []));
  const named = settingEntries().filter(([, { flags }]) => flags !== undefined);
  expect(named.map(([key]) => inFlags(say`${settingRef(key)}`)).filter((flag) => !known.has(flag))).toEqual(
    [],
  );
  expect(named.length).toBeGreaterThan(30);
});
