import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  BackendError,
  CheckpointError,
  DataError,
  DivergedError,
  type ErrorCode,
  errorCodes,
  printable,
  SettingError,
  ShapeError,
  UserError,
} from './errors.ts';
import { say, settingRef, type Words } from './message.ts';

const shouted: Words = ({ setting, value, command }) =>
  [command, `${setting.toUpperCase()}!`, value].filter((part) => part !== undefined).join(' ');

describe('an error', () => {
  it.each([
    [UserError, 'input-invalid'],
    [SettingError, 'setting-invalid'],
    [BackendError, 'backend-failed'],
    [CheckpointError, 'checkpoint-invalid'],
    [DivergedError, 'diverged'],
    [DataError, 'data-invalid'],
  ] as const)('%o has the code of its kind', (Kind, code) => {
    const error = new Kind('what');
    expect(error).toMatchObject({ code, message: 'what', name: Kind.name });
    expect(error).not.toHaveProperty('setting');
    expect(error).not.toHaveProperty('value');
    expect(error.in(shouted)).toBe('what');
    expect(errorCodes).toHaveProperty(code);
  });
  it('of a shape has one too, though it is no user who can mend it', () => {
    expect(new ShapeError('what').code).toBe('shape-invalid');
    expect(new ShapeError('what')).not.toBeInstanceOf(UserError);
  });
  it('may have a code of its own', () => {
    expect(new BackendError('gone', { code: 'device-lost' }).code).toBe('device-lost');
  });
  it('tells the setting that its message names first, and its value', () => {
    const error = new SettingError(
      say`${settingRef('mocoK', 64)} is no multiple of 48; change ${settingRef('batchSize')}`,
    );
    expect(error).toMatchObject({
      setting: 'mocoK',
      value: 64,
      message: 'mocoK 64 is no multiple of 48; change batchSize',
    });
    expect(error.in(shouted)).toBe('MOCOK! 64 is no multiple of 48; change BATCHSIZE!');
  });
  it('may tell a value, or a setting, that its message does not', () => {
    expect(new SettingError(say`a batch of 8: lower ${settingRef('batchSize')}`, { value: 8 })).toMatchObject(
      { setting: 'batchSize', value: 8 },
    );
    const other = new SettingError(say`${settingRef('out', 'a')} is taken`, { setting: 'resume' });
    expect(other.setting).toBe('resume');
    expect(other).not.toHaveProperty('value');
  });
  it('passes on what it tells to one that says more', () => {
    const first = new BackendError(say`lost; ${settingRef('resume')}`, { code: 'device-lost' });
    const more = new BackendError(say`${first.text}; the last one is a.safetensors`, first);
    expect(more).toMatchObject({ code: 'device-lost', setting: 'resume' });
    expect(more.in(shouted)).toBe('lost; RESUME!; the last one is a.safetensors');
  });
  it('tells that a setting belongs to another command', () => {
    const text = say`take one of them by ${settingRef('prefix', undefined, 'moco import')}`;
    expect(text.in(shouted)).toBe('take one of them by moco import PREFIX!');
    expect(String(text)).toBe('take one of them by prefix');
  });
  it('has a code that programs can switch on', () => {
    expectTypeOf<UserError['code']>().toEqualTypeOf<ErrorCode>();
    for (const [code, meaning] of Object.entries(errorCodes)) {
      expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
      expect(meaning).not.toBe('');
    }
  });
});

describe('a text of a stranger', () => {
  it.each([
    ['a line feed', 'two\nlines', 'two; lines'],
    ['an escape', '\u001b[31m', '\\x1b[31m'],
    ['one of C1', '\u009b2J', '\\x9b2J'],
    ['writing turned round', 'a\u202egnp', 'a\\u202egnp'],
    ['half a character', 'a\ud83d', 'a\\ud83d'],
    ['a joined emoji, as it is', '👨‍👩‍👧.png', '👨‍👩‍👧.png'],
  ])('has %s where it steers nothing', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });
  it('is cut, never within a character', () => {
    expect(printable('abcdef', 3)).toBe('abc...');
    expect(printable('ab👨', 3)).toBe('ab...');
  });
});
