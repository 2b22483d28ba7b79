import { crc32 as zlib } from 'node:zlib';
import { rng } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { crc32 } from './crc32.ts';

it('is the one of zip: its check value, and zlib on any bytes', () => {
  expect(crc32('123456789')).toBe(0xcbf43926);
  expect(crc32('')).toBe(0);
  const random = rng(0, 'crc32');
  for (const length of [1, 7, 255, 4096]) {
    const bytes = Uint8Array.from({ length }, () => random.integer(256));
    expect(crc32(bytes)).toBe(zlib(bytes));
    expect(crc32(bytes.subarray(3), crc32(bytes.subarray(0, 3)))).toBe(zlib(bytes));
  }
  expect(crc32('grüße 😀')).toBe(zlib('grüße 😀'));
});
