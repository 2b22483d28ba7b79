import { DataError, DivergedError, SettingError, UserError } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { MachineError } from '../machine.ts';
import { errorOf, sentError } from './messages.ts';

const received = (error: unknown) => errorOf(structuredClone(sentError(error)));

it.each([
  [new DataError('a.png: no such file', { code: 'file-missing' }), DataError],
  [new MachineError('out of memory', { setting: 'workers', value: 8 }), MachineError],
  [new UserError('what'), UserError],
])('%o is the same in another thread', (error, Kind) => {
  const other = received(error);
  expect(other).toBeInstanceOf(Kind);
  expect(other).toEqual(error);
  const { code, setting, value, message } = error;
  expect(other).toMatchObject({ code, message, ...(setting !== undefined && { setting, value }) });
});

it.each([new SettingError('what', { setting: 'lr', value: 1 }), new DivergedError('what')])(
  '%o keeps its code, though not its class',
  (error) => {
    expect(received(error)).toBeInstanceOf(UserError);
    expect(received(error)).toMatchObject({ code: error.code });
  },
);

it('a defect keeps its stack, and is none that a user can mend', () => {
  const error = new TypeError('x is undefined');
  expect(received(error)).not.toBeInstanceOf(UserError);
  expect(received(error).message).toBe(error.stack);
});
