/** CRC-32 (ISO 3309, as in zip and PNG), for where there is no zlib. */

/** The checksum of some bytes, or of a text's UTF-8, going on from that of what came before. */
export type Crc32 = (data: string | Uint8Array, before?: number) => number;

/** A global of Node and browsers alike. */
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  return sum;
});

export const crc32: Crc32 = (data, before = 0) => {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  let sum = ~before;
  for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ table[(sum ^ bytes[i]!) & 0xff]!;
  return ~sum >>> 0;
};
