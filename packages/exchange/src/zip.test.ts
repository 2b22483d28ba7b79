import { CheckpointError } from '@moco-ts/core';
import { Uint8ArrayReader, Uint8ArrayWriter, ZipReader, ZipWriter } from '@zip.js/zip.js';
import { describe, expect, it } from 'vitest';
import { readTorch } from './read.ts';
import { bytesSource } from './source.ts';
import { bytes, fixture } from './testing.ts';
import type { TensorRef } from './values.ts';
import { encodeTorch } from './write.ts';

const weights = { shape: [2, 2], dtype: 'float32', data: Float32Array.of(1, -2, 0.5, 4) } as const;
const small = () => encodeTorch({ w: weights, v: { ...weights, shape: [4] } });
const open = (file: Uint8Array) => readTorch(bytesSource('x.pth', file));
async function all(file: Uint8Array) {
  const { value, read } = await open(file);
  return read(value as Map<string, TensorRef>);
}

/** The same records with what a test changes about them. */
async function rezipped(
  file: Uint8Array,
  options: ConstructorParameters<typeof ZipWriter>[1],
  rename = (name: string) => name,
  more: Readonly<Record<string, Uint8Array>> = {},
): Promise<Uint8Array> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), { useWebWorkers: false, level: 0, ...options });
  for (const entry of await new ZipReader(new Uint8ArrayReader(file)).getEntries())
    if (!entry.directory)
      await writer.add(
        rename(entry.filename),
        new Uint8ArrayReader(await entry.getData(new Uint8ArrayWriter())),
      );
  for (const [name, data] of Object.entries(more)) await writer.add(name, new Uint8ArrayReader(data));
  return writer.close();
}

/** Where a text first stands in a file. */
function find(file: Uint8Array, what: string, from = 0): number {
  const wanted = bytes(what);
  for (let at = from; at < file.length; at++) if (wanted.every((byte, i) => file[at + i] === byte)) return at;
  throw new Error(`${what} is not there`);
}

describe('what is read', () => {
  it('a round trip, tensors that share their values included', async () => {
    const tensors = await all(await small());
    expect(tensors.get('w')).toEqual({ ...weights, shape: [2, 2] });
    expect(tensors.get('v')).toEqual({ ...weights, shape: [4] });
  });
  it('the same bytes each time', async () => {
    expect(await small()).toEqual(await small());
  });
  it('zip64, records in any folder, data descriptors', async () => {
    const file = await rezipped(await small(), { zip64: true }, (name) => name.replace('archive', 'a b'));
    expect([...(await all(file)).get('v')!.data]).toEqual([1, -2, 0.5, 4]);
    const streamed = await rezipped(await small(), { dataDescriptor: true });
    expect([...(await all(streamed)).get('v')!.data]).toEqual([1, -2, 0.5, 4]);
  });
  it('no more of a large file than is wanted', async () => {
    const large = { shape: [2 ** 20], dtype: 'float32', data: new Float32Array(2 ** 20) } as const;
    const file = await encodeTorch({ w: weights, large });
    let taken = 0;
    const { value, read } = await readTorch({
      name: 'x.pth',
      size: file.length,
      read: async (offset, size) => {
        taken += size;
        return file.subarray(offset, offset + size);
      },
    });
    const { w } = Object.fromEntries(value as Map<string, TensorRef>);
    await read(new Map([['w', w!]]));
    expect(taken).toBeLessThan(2 ** 20);
  });
});

describe('what is refused', () => {
  const refused = async (file: Uint8Array, message: RegExp) => {
    await expect(all(file)).rejects.toThrow(message);
    await expect(all(file)).rejects.toThrow(CheckpointError);
  };
  it('a flipped bit anywhere in a record', async () => {
    const file = await small();
    const at = find(file, '\x00\x00\x80\x3f');
    file[at]! ^= 1;
    await refused(file, /x\.pth is no readable file of torch\.save: as a zip file/);
  });
  it('a compressed record, however small', async () => {
    const bomb = new Uint8Array(10_000_000);
    await refused(
      await rezipped(await small(), { level: 9 }, undefined, { 'archive/b': bomb }),
      /is compressed/,
    );
  });
  it('one record over another', async () => {
    const file = await small();
    // The directory's entry of data/0 is sent to the beginning, where data.pkl is, and made as long.
    const directory = find(file, 'PK\x01\x02');
    const second = find(file, 'PK\x01\x02', find(file, 'PK\x01\x02', directory + 4) + 4);
    new DataView(file.buffer).setUint32(second + 42, 0, true);
    await refused(file, /as a zip file|lies over/);
  });
  it('two records of one name', async () => {
    const file = await small();
    const name = find(file, 'archive/version', find(file, 'PK\x01\x02'));
    const other = await rezipped(await small(), {}, undefined, { 'archive/versiom': bytes('3') });
    file.set(bytes('archive/version'), name);
    const wrong = find(other, 'archive/versiom', find(other, 'PK\x01\x02'));
    other.set(bytes('archive/version'), wrong);
    await refused(other, /twice|as a zip file/);
  });
  it.each([
    ['without its pickle', 'data.pkl', 'x', /holds 0 pickles/],
    ['without a storage', 'data/0', 'data/9', /its record data\/0 is missing/],
    ['of TorchScript', 'version', 'constants.pkl', /TorchScript archive, which holds code/],
  ])('a file %s', async (_, from, to, message) => {
    await refused(await rezipped(await small(), {}, (name) => name.replace(from, to)), message);
  });
  it('another byte order', async () => {
    const big = { 'archive/byteorder': bytes('big') };
    const renamed = await rezipped(await small(), {}, (name) => name.replace('byteorder', 'other'), big);
    await refused(renamed, /big-endian/);
  });
  it('a storage of another size', async () => {
    const renamed = (name: string) => name.replace('data/0', 'data/9');
    const longer = { 'archive/data/0': new Uint8Array(20) };
    await refused(await rezipped(await small(), {}, renamed, longer), /the storage 0 has 20 bytes, not 16/);
  });
  it('other files', async () => {
    await refused(bytes('PK\x05\x06', '\0'.repeat(18)), /holds 0 pickles/);
    await refused(bytes('PK\x03\x04 and no more'), /as a zip file/);
    await refused(bytes('#!/bin/sh'), /x\.pth is no file of torch\.save/);
    await refused(new Uint8Array(0), /x\.pth is no file of torch\.save/);
    await refused(bytes(0x80, 2, 'K\x01.'), /a pickle, but not of torch\.save/);
  });
  it('a file without checksums only where it says so', async () => {
    // As torch.serialization.set_crc32_options(False) has it: all checksums 0.
    const file = fixture('kinds.pth');
    expect((await open(file)).value).toBeInstanceOf(Map);
  });
});
