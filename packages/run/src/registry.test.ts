import { expect, it } from 'vitest';
import type { MethodPlugin } from './method.ts';
import { simclr } from './methods/simclr.ts';
import { methodOf, registerMethod } from './registry.ts';
import { whole } from './rule.ts';
import { defaulted } from './setting.ts';
import { storedConfig } from './stored.ts';
import { settingEntries } from './table.ts';

const named = (name: string, setting?: string, flags = '--mine <n>'): MethodPlugin => ({
  ...simclr,
  name,
  ...(setting !== undefined && { settings: { [setting]: defaulted(whole(1, 9), { default: 3, flags }) } }),
});

it.each([
  [named('simclr'), "there is a method simclr already: give the plugin's another name"],
  [named('a b'), 'a method can\'t be called "a b"'],
  [named('mine', 'lr'), 'the method mine has a setting lr, which there is already'],
  [named('mine', 'symmetric'), 'the method mine has a setting symmetric, which there is already'],
  [named('mine', 'other', '--batch-size <n>'), 'the method mine has a setting --batch-size, which there is'],
])('refuses a method of which something is taken', (method, message) => {
  expect(() => registerMethod(method)).toThrow(message);
});

it("puts a method's settings last in the table, and replaces a method of the same name", () => {
  registerMethod(named('mine', 'first', '--first <n>'));
  registerMethod(named('mine', 'second', '--second <n>'));
  const [key, { group }] = settingEntries().at(-1)!;
  expect([key, group]).toEqual(['second', 'Method']);
  expect(settingEntries().map(([name]) => name as string)).not.toContain('first');
});

it('reads a run whose method came with a plugin, and asks for it where the method is needed', () => {
  const stored = { data: 'photos', method: 'absent', arch: 'resnet18', imageSize: 32, unknown: 1 };
  expect(() => storedConfig(stored, 'c')).toThrow('method is "absent". Choose from moco-v1');
  const config = storedConfig({ ...stored, plugin: ['./absent'] }, 'c');
  expect(config).toMatchObject({ method: 'absent', lr: 0.03, epochs: 200 });
  expect(() => methodOf(config)).toThrow(
    'the run\'s method "absent" came with a plugin, which only you can name, if you trust it: plugin PACKAGE_OR_FILE (recorded: ["./absent"])',
  );
});
