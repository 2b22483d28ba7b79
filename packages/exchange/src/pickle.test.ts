import { describe, expect, it } from 'vitest';
import { plainGlobal } from './globals.ts';
import { unpickle } from './pickle.ts';
import { PickleError } from './pickle-reader.ts';
import type { Value } from './values.ts';

/** One value by Python 3's own pickle module, in each of its protocols but the first, of texts. */
const pickles: readonly [protocol: number, base64: string][] = [
  [
    1,
    'fXEAKFgBAAAAYXEBXXECKEsAS/9N//9K/v///0wxMDk5NTExNjI3Nzc2TApMLTEyMDg5MjU4MTk2MTQ2MjkxNzQ3MDYxNzZM' +
      'Ckc/4AAAAAAAAE5JMDEKSTAwCmVYAQAAAHRxAygpKEsBdHEEKEsBSwJ0cQUoSwFLAksDdHEGKEsBSwJLA0sEdHEHdHEIWAEA' +
      'AABzcQlYCAAAAO+7v8OpCicicQpYAQAAAGJxC2NfY29kZWNzCmVuY29kZQpxDChYAwAAAMO/AHENWAYAAABsYXRpbjFxDnRx' +
      'D1JxEFgDAAAAc2V0cRFjX19idWlsdGluX18Kc2V0CnESKF1xE0sBYXRxFFJxFVgGAAAAZnJvemVucRZjX19idWlsdGluX18K' +
      'ZnJvemVuc2V0CnEXKF1xGFgBAAAAeHEZYXRxGlJxG1gBAAAAb3EcY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEdKVJxHihY' +
      'AQAAAGtxH11xIF1xIWFLA31xInVYBAAAAHNhbWVxI2gCWAUAAABhcnJheXEkY19fYnVpbHRpbl9fCmJ5dGVhcnJheQpxJSho' +
      'DChYAgAAAGFicSZoDnRxJ1JxKHRxKVJxKnUu',
  ],
  [
    2,
    'gAJ9cQAoWAEAAABhcQFdcQIoSwBL/03//0r+////igYAAAAAAAGKCwAAAAAAAAAAAAD/Rz/gAAAAAAAAToiJZVgBAAAAdHED' +
      'KClLAYVxBEsBSwKGcQVLAUsCSwOHcQYoSwFLAksDSwR0cQd0cQhYAQAAAHNxCVgIAAAA77u/w6kKJyJxClgBAAAAYnELY19j' +
      'b2RlY3MKZW5jb2RlCnEMWAMAAADDvwBxDVgGAAAAbGF0aW4xcQ6GcQ9ScRBYAwAAAHNldHERY19fYnVpbHRpbl9fCnNldApx' +
      'El1xE0sBYYVxFFJxFVgGAAAAZnJvemVucRZjX19idWlsdGluX18KZnJvemVuc2V0CnEXXXEYWAEAAAB4cRlhhXEaUnEbWAEA' +
      'AABvcRxjY29sbGVjdGlvbnMKT3JkZXJlZERpY3QKcR0pUnEeKFgBAAAAa3EfXXEgXXEhYUsDfXEidVgEAAAAc2FtZXEjaAJY' +
      'BQAAAGFycmF5cSRjX19idWlsdGluX18KYnl0ZWFycmF5CnElaAxYAgAAAGFicSZoDoZxJ1JxKIVxKVJxKnUu',
  ],
  [
    3,
    'gAN9cQAoWAEAAABhcQFdcQIoSwBL/03//0r+////igYAAAAAAAGKCwAAAAAAAAAAAAD/Rz/gAAAAAAAAToiJZVgBAAAAdHED' +
      'KClLAYVxBEsBSwKGcQVLAUsCSwOHcQYoSwFLAksDSwR0cQd0cQhYAQAAAHNxCVgIAAAA77u/w6kKJyJxClgBAAAAYnELQwL/' +
      'AHEMWAMAAABzZXRxDWNidWlsdGlucwpzZXQKcQ5dcQ9LAWGFcRBScRFYBgAAAGZyb3plbnESY2J1aWx0aW5zCmZyb3plbnNl' +
      'dApxE11xFFgBAAAAeHEVYYVxFlJxF1gBAAAAb3EYY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEZKVJxGihYAQAAAGtxG11x' +
      'HF1xHWFLA31xHnVYBAAAAHNhbWVxH2gCWAUAAABhcnJheXEgY2J1aWx0aW5zCmJ5dGVhcnJheQpxIUMCYWJxIoVxI1JxJHUu',
  ],
  [
    4,
    'gASV+gAAAAAAAAB9lCiMAWGUXZQoSwBL/03//0r+////igYAAAAAAAGKCwAAAAAAAAAAAAD/Rz/gAAAAAAAAToiJZYwBdJQo' +
      'KUsBhZRLAUsChpRLAUsCSwOHlChLAUsCSwNLBHSUdJSMAXOUjAjvu7/DqQonIpSMAWKUQwL/AJSMA3NldJSPlChLAZCMBmZy' +
      'b3plbpQojAF4lJGUjAFvlIwLY29sbGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlCiMAWuUXZRdlGFLA32UdYwEc2FtZZRo' +
      'AowFYXJyYXmUjAhidWlsdGluc5SMCWJ5dGVhcnJheZSTlEMCYWKUhZRSlHUu',
  ],
  [
    5,
    'gAWV5AAAAAAAAAB9lCiMAWGUXZQoSwBL/03//0r+////igYAAAAAAAGKCwAAAAAAAAAAAAD/Rz/gAAAAAAAAToiJZYwBdJQo' +
      'KUsBhZRLAUsChpRLAUsCSwOHlChLAUsCSwNLBHSUdJSMAXOUjAjvu7/DqQonIpSMAWKUQwL/AJSMA3NldJSPlChLAZCMBmZy' +
      'b3plbpQojAF4lJGUjAFvlIwLY29sbGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlCiMAWuUXZRdlGFLA32UdYwEc2FtZZRo' +
      'AowFYXJyYXmUlgIAAAAAAAAAYWKUdS4=',
  ],
];

const read = (base64: string) => {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const host = {
    global: plainGlobal,
    persistent: () => {
      throw new PickleError('there are no storages');
    },
  };
  return { bytes, ...unpickle(bytes, 0, host) };
};
const tuple = (...items: Value[]): Value => ({ kind: 'tuple', items });

describe.each(pickles)('protocol %d', (_, base64) => {
  it('is read as Python reads it', () => {
    const { value, end, bytes } = read(base64);
    const list = [0, 255, 65535, -2, 2 ** 40, -(2n ** 80n), 0.5, null, true, false];
    expect(value).toEqual(
      new Map<string, Value>([
        ['a', list],
        ['t', tuple(tuple(), tuple(1), tuple(1, 2), tuple(1, 2, 3), tuple(1, 2, 3, 4))],
        ['s', '\ufeffé\n\'"'],
        ['b', Uint8Array.of(255, 0)],
        ['set', new Set([1])],
        ['frozen', new Set(['x'])],
        [
          'o',
          new Map<string | number, Value>([
            ['k', [[]]],
            [3, new Map()],
          ]),
        ],
        ['same', list],
        ['array', Uint8Array.of(97, 98)],
      ]),
    );
    const dict = value as Map<string, Value>;
    expect(dict.get('same')).toBe(dict.get('a'));
    expect(end).toBe(bytes.length);
  });
});

it('protocol 0 is refused', () => {
  expect(() => read(btoa('(lp0\nI1\na.'))).toThrow('byte 1 is no opcode of protocols 1 to 5');
});
