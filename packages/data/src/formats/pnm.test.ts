/** Images after the descriptions of netpbm. */
import { DataError } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { decodeBytes } from '../decode.ts';

const bytes = (head: string, ...values: number[]) => Buffer.concat([Buffer.from(head), Buffer.from(values)]);
const grey = (...values: number[]) => values.flatMap((value) => [value, value, value]);

it.each<[string, Buffer, number[]]>([
  ['P6', bytes('P6\n2 1\n255\n', 10, 20, 30, 32, 9, 35), [10, 20, 30, 32, 9, 35]],
  [
    'P6 with comments',
    bytes('P6 # made\n#by 3 3\n2#\n1 255\n', 10, 20, 30, 40, 50, 60),
    [10, 20, 30, 40, 50, 60],
  ],
  ['P6, 16 bit, high byte first', bytes('P6 1 1 65535\n', 255, 255, 128, 0, 1, 1), [255, 128, 1]],
  ['P5', bytes('P5 2 1 255\n', 7, 250), grey(7, 250)],
  // 255 v / 100 and 255 v / 1023, rounded
  ['P5 of 100 levels', bytes('P5 3 1 100\n', 0, 50, 100), grey(0, 128, 255)],
  ['P5 of 1024 levels', bytes('P5 2 1 1023\n', 3, 255, 2, 0), grey(255, 128)],
  [
    'P4, 1 being black, rows of whole bytes',
    bytes('P4 3 2\n', 0b01000000, 0b10100000),
    grey(255, 0, 255, 0, 255, 0),
  ],
  ['P3', bytes('P3\n1 2\n255\n1 2 3\n# between\n 255 0\t9'), [1, 2, 3, 255, 0, 9]],
  ['P2', bytes('P2 2 1 10 0 10\n'), grey(0, 255)],
  ['P1, without spaces', bytes('P1 3 1\n010'), grey(255, 0, 255)],
])('%s', async (_, file, data) => {
  expect([...(await decodeBytes(file)).data]).toEqual(data);
});

it.each<[string, Buffer, string]>([
  ['cut off', bytes('P6 2 1 255\n', 1, 2, 3), 'the file is cut off'],
  ['cut in text', bytes('P2 2 1 255 7'), 'the file is cut off'],
  ['cut in the header', bytes('P5 2'), 'the file is cut off'],
  ['a value above white', bytes('P5 1 1 100\n', 101), 'a value of 101, where 100 is white'],
  ['a value above white in text', bytes('P2 1 1 255 65791'), 'a value of 65791, where 255 is white'],
  ['letters', bytes('P5 a b'), 'no number where one should be'],
  [
    'a float image',
    bytes('Pf 1 1 -1\n', 0, 0, 0, 0),
    'a float or PAM image, which is not read; save it as PNG or JPEG',
  ],
])('%s is told', async (_, file, reason) => {
  const failure = await decodeBytes(file, 'a.ppm').catch((error) => error);
  expect(failure).toBeInstanceOf(DataError);
  expect(failure.message).toBe(`a.ppm: not a readable image (${reason})`);
});
