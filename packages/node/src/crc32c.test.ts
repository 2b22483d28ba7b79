import { expect, it } from 'vitest';
import { crc32c, maskedCrc32c } from './crc32c.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

it('gives the check value of the CRC catalogue', () => {
  expect(crc32c(bytes('123456789'))).toBe(0xe3069283);
});

// RFC 3720, appendix B.4.
it.each([
  ['32 zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
])('gives the vector of RFC 3720: %s', (_, data, expected) => {
  expect(crc32c(data)).toBe(expected);
});

it('masks by a rotation of 15 bits and an addition', () => {
  const rotated = (0xe3069283n >> 15n) | ((0xe3069283n << 17n) & 0xffffffffn);
  expect(BigInt(maskedCrc32c(bytes('123456789')))).toBe((rotated + 0xa282ead8n) & 0xffffffffn);
});
