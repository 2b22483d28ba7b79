import { describe, expect, it } from 'vitest';
import { checkPages } from './pages.ts';
import { checkFooter, walkStruct } from './thrift.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

// Thrift's compact protocol by hand: a field is (step << 4 | type), integers are zigzag varints.
describe('walkStruct', () => {
  it('gives integers, booleans and structs by field', () => {
    // 1: i32 -3, 2: true, 4: false, 5: binary of 2, 6: list of 2 i32, 7: struct { 1: i32 300 }, 20 (long form): i64 1
    const bytes = hex('15 05  11  22  18 02 aabb  19 25 0204  1c 15d804 00  06 28 02  00');
    expect(walkStruct(bytes, 0)).toEqual({
      fields: { 1: -3, 2: 1, 4: 0, 7: { 1: 300 }, 20: 1 },
      end: bytes.length,
    });
  });
  it.each([
    ['a list of 2^31 - 1', '19 f5 ffffffff07 00', /list of its header is longer than the file/],
    ['a text of 2^31 - 1', '18 ffffffff07 00', /header is cut off/],
    ['structs without end', '1c'.repeat(50), /header is too deep/],
    ['lists without end', `19${'19'.repeat(50)}`, /cut off|longer|deep/],
    ['no end', '15 02', /header is cut off/],
    ['a number without end', `15${'ff'.repeat(20)}`, /header is damaged/],
    ['an unknown type', '1d 00', /header is damaged/],
  ])('refuses %s', (_, text, message) => {
    expect(() => walkStruct(hex(text), 0)).toThrow(message);
  });
});

it('a footer must fit its file', () => {
  const footer = (body: string, length: string) => hex(`${body} ${length} 50415231`);
  expect(() => checkFooter(footer('15 02 00 00', '03000000'))).not.toThrow();
  expect(() => checkFooter(footer('15 02 00 00', 'ffffff7f'))).toThrow(/footer is longer than the file/);
  expect(() => checkFooter(hex('15 02 00 00 03000000 50415230'))).toThrow(/does not end as a Parquet file/);
});

describe('checkPages', () => {
  const plain = { codec: 'UNCOMPRESSED', repetition: 0, definition: 0 } as const;
  const list = { ...plain, repetition: 1 } as const;
  /** A data page of version 1: type, bytes twice, { values, encoding }. */
  const page = (bytes: string, packed: string, values: string, encoding: string, body: string) =>
    hex(`15 00  15 ${bytes}  15 ${packed}  2c 15 ${values} 15 ${encoding} 00  00 ${body}`);
  const body = '00000000 00000000 00';

  it('lets pages pass', () => {
    expect(() => checkPages(page('10', '10', '04', '00', body), 100, plain)).not.toThrow();
    // Two values of the level 1, as one repetition; its length stands before.
    expect(() => checkPages(page('10', '10', '04', '00', '02000000 04 01 0000 00'), 100, list)).not.toThrow();
  });
  it('refuses what claims too much', () => {
    const refused = (bytes: Uint8Array, kind = plain as Parameters<typeof checkPages>[2]) =>
      expect(() => checkPages(bytes, 100, kind));
    refused(page('fe01', '10', '04', '00', body)).toThrow(/more than a file of its size can hold/);
    refused(page('10', '40', '04', '00', body)).toThrow(/a page is cut off/);
    refused(page('10', '10', 'feffffff0f', '00', body)).toThrow(/more than a file of its size can hold/);
    refused(page('10', '10', '03', '00', body)).toThrow(/more than a file of its size can hold/);
    // A repetition of 2^30 where two values are; as an index of a dictionary too.
    refused(page('14', '14', '04', '00', '06000000 8080808008 01'), list).toThrow(
      /a run of a page is longer/,
    );
    refused(page('0e', '0e', '04', '10', '01 8080808008 01')).toThrow(/a run of a page is longer/);
    refused(page('10', '10', '04', '00', body), { ...plain, codec: 'GZIP' }).toThrow(/compressed by GZIP/);
  });
});
