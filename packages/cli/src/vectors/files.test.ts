import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rng, UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../testing.ts';
import { openVectors, type VectorInfo } from './file.ts';
import { npyHeader } from './npy.ts';
import { readNpy } from './npy-file.ts';
import { writeParquet } from './parquet.ts';

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../../parity/fixtures/vectors/${name}`, import.meta.url));
const folder = temporaryFolder();

/** What parity/vectors.py wrote. */
const [rows, dim] = [7, 3];
const values = Float32Array.from({ length: rows * dim }, (_, i) => (i % 17) / 8 - 1);
const ids = Array.from({ length: rows }, (_, r) => `p/é ${r}.png`);

const info: VectorInfo = {
  moco: '0.1.0',
  model: 'runs/x',
  encoder: '01234567',
  data: { data: 'photos', split: 'train' },
  unit: false,
};

const failing = async (path: string) => {
  const error = await openVectors(path)
    .then(async (file) => [await file.ids(), await file.vectors()])
    .then(
      () => undefined,
      (error: Error) => error,
    );
  expect(error).toBeInstanceOf(UserError);
  expect(error!.message).not.toContain('\n');
  return error!.message;
};

describe('.npy', () => {
  const beside = (name: string, sidecar: unknown = { ids }) => {
    copyFileSync(fixture(name), join(folder, name));
    writeFileSync(join(folder, name.replace('.npy', '.ids.json')), JSON.stringify(sidecar));
    return join(folder, name);
  };
  it.each(['float32.npy', 'float64.npy'])("reads NumPy's %s", async (name) => {
    const file = await openVectors(beside(name));
    expect([file.rows, file.dim, file.info]).toEqual([rows, dim, undefined]);
    expect(await file.vectors()).toEqual(values);
    expect(await file.ids()).toEqual(ids);
  });
  it("has NumPy's own header", () => {
    const own = Buffer.concat([npyHeader(rows, dim), new Uint8Array(values.buffer)]);
    expect(own).toEqual(readFileSync(fixture('float32.npy')));
  });
  it.each([
    ['float16.npy', /type '<f2'; save them as float32/],
    ['columns.npy', /in columns \(fortran_order\)/],
    ['cube.npy', /its shape is \(7, 3, 1\), not \(rows, values of a vector\)/],
    ['record.npy', /type \[\('a', '<f4'\)/],
  ])('refuses %s in one line', async (name, message) => {
    expect(await failing(beside(name))).toMatch(message);
  });
  it('refuses what is cut off, too long, no .npy, or of a damaged header', async () => {
    const path = beside('float32.npy');
    const intact = readFileSync(path);
    const refused = async (bytes: Uint8Array) => {
      writeFileSync(path, bytes);
      return failing(path);
    };
    expect(await refused(intact.subarray(0, intact.length - 1))).toMatch(
      /has 211 bytes, and should have 212.*cut off/,
    );
    expect(await refused(Buffer.concat([intact, Buffer.alloc(4)]))).toMatch(/too long/);
    expect(await refused(intact.subarray(0, 60))).toMatch(/header is cut off/);
    expect(await refused(intact.subarray(0, 5))).toMatch(/no .npy file at all/);
    expect(await refused(Buffer.alloc(200))).toMatch(/no .npy file at all/);
    const header = (from: string, to: string) =>
      refused(Buffer.from(intact.toString('latin1').replace(from, to), 'latin1'));
    expect(await header('descr', 'descx')).toMatch(/header is damaged/);
    expect(await header('(7, 3)', '(-7,3)')).toMatch(/header is damaged/);
    expect(await header('(7, 3), ', '(7, 9e9)')).toMatch(/header is damaged/);
    expect(await header('}', ' ')).toMatch(/header is damaged/);
    const infinite = Buffer.from(intact);
    infinite.writeFloatLE(Number.NaN, 128 + 4 * 4);
    expect(await refused(infinite)).toMatch(/vector 1 holds a value that is not finite/);
  });
  it('refuses ids that are missing, no JSON, too few, or of other vectors', async () => {
    expect(await failing(fixture('float32.npy'))).toMatch(/float32.ids.json is missing: .*{"ids"/);
    expect(await failing(beside('float32.npy', { ids: ids.slice(1) }))).toMatch(/6 ids for the 7 vectors/);
    expect(await failing(beside('float32.npy', { ids: [1, 2] }))).toMatch(/holds no {"ids"/);
    expect(await failing(beside('float32.npy', null))).toMatch(/holds no {"ids"/);
    expect(await failing(beside('float32.npy', { ids, crc32: '00000000' }))).toMatch(
      /one of the two was replaced/,
    );
    expect(await failing(beside('float32.npy', { ids, moco: { model: 3 } }))).toMatch(/its model is damaged/);
    writeFileSync(join(folder, 'float32.ids.json'), '{"ids": [');
    expect(await failing(join(folder, 'float32.npy'))).toMatch(/no JSON/);
  });
  it('is read over the borders of chunks', async () => {
    const [count, width] = [33_000, 130];
    const large = Float32Array.from({ length: count * width }, (_, i) => (i % 9973) / 9973);
    const path = join(folder, 'large.npy');
    writeFileSync(path, Buffer.concat([npyHeader(count, width), new Uint8Array(large.buffer)]));
    const read = await readNpy(path);
    expect(Buffer.from(read.buffer).equals(Buffer.from(large.buffer))).toBe(true);
  });
});

describe('.parquet', () => {
  it.each(['list', 'fixed', 'double'])("reads pyarrow's %s of floats", async (name) => {
    const file = await openVectors(fixture(`${name}.parquet`));
    expect([file.rows, file.dim, file.info]).toEqual([rows, dim, undefined]);
    expect(await file.vectors()).toEqual(values);
    expect(await file.ids()).toEqual(ids);
  });
  it('reads back what it writes, whatever the pieces, which leave no trace', async () => {
    const random = rng(0, 'parquet');
    const [count, width] = [4500, 5];
    const vectors = Float32Array.from({ length: count * width }, () => random.normal());
    const names = Array.from({ length: count }, (_, i) => `${i % 9}/日本 ${i}.png`);
    const write = async (path: string, piece: number) => {
      async function* pieces() {
        for (let at = 0; at < count; at += piece)
          yield {
            ids: names.slice(at, at + piece),
            vectors: vectors.slice(at * width, (at + piece) * width),
          };
      }
      await writeParquet(path, pieces(), width, info);
      return readFileSync(path);
    };
    const path = join(folder, 'own.parquet');
    const bytes = await write(path, 64);
    expect((await write(join(folder, 'other.parquet'), 4096)).equals(bytes)).toBe(true);
    const file = await openVectors(path);
    expect([file.rows, file.dim, file.info]).toEqual([count, width, info]);
    expect(await file.ids()).toEqual(names);
    expect(await file.vectors()).toEqual(vectors);
    for (const cut of [0, 3, 100, bytes.length - 1]) {
      writeFileSync(path, bytes.subarray(0, cut));
      expect(await failing(path)).toMatch(/own.parquet is no readable Parquet file of vectors/);
    }
  });
  it.each([
    ['no-vectors', /no column "vector"/],
    ['numbers', /vectors are no lists of floats/],
    ['ragged', /vectors of 1 and of 2 values/],
  ])('refuses %s in one line', async (name, message) => {
    expect(await failing(fixture(`${name}.parquet`))).toMatch(message);
  });
});

it('refuses what is missing, a folder, and other names', async () => {
  expect(await failing(join(folder, 'none.parquet'))).toMatch(/none.parquet could not be read: no such file/);
  expect(await failing(join(folder, 'none.npy'))).toMatch(/none.npy could not be read: no such file/);
  expect(await failing(join(folder, 'x.csv'))).toMatch(/ends in .parquet or .npy/);
});
