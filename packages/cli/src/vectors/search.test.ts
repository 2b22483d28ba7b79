import {
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { rng } from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFolder, moco, png, spawnMoco, temporaryFolder, tiny } from '../testing.ts';
import type { DuplicateGroup } from './duplicates.ts';
import { openVectors } from './file.ts';
import { openIndex } from './index-file.ts';
import { npyHeader } from './npy.ts';
import type { Found } from './search.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(60);
const run = at('run');

beforeAll(async () => {
  await moco('pretrain', images, '--out', run, ...tiny, '--epochs', '1', '--knn-every', '0');
  expect((await moco('embed', run, images, '--out', at('set.parquet'))).code).toBe(0);
});

/** Vectors around some centres, as a file without a word on their encoder. */
function clustered(name: string, count: number, dim: number): number[][] {
  const random = rng(0, 'clusters', count);
  const centres = Array.from({ length: 40 }, () => Array.from({ length: dim }, random.normal));
  const rows = Array.from({ length: count }, (_, i) =>
    Array.from({ length: dim }, (_, d) => Math.fround(centres[i % 40]![d]! + 0.6 * random.normal())),
  );
  writeFileSync(
    at(`${name}.npy`),
    Buffer.concat([npyHeader(count, dim), new Uint8Array(Float32Array.from(rows.flat()).buffer)]),
  );
  writeFileSync(at(`${name}.ids.json`), JSON.stringify({ ids: rows.map((_, i) => `v${i}`) }));
  return rows;
}

const cosine = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, x, d) => sum + x * b[d]!, 0) / (Math.hypot(...a) * Math.hypot(...b));

const parsed = (out: string) => (JSON.parse(out) as { results: Found[] }).results;

const groupsOf = (out: string) => (JSON.parse(out) as { groups: DuplicateGroup[] }).groups;

describe('moco search', () => {
  it('finds what a full sort of the cosines finds, by ids', async () => {
    const rows = clustered('exact', 500, 12);
    const { out } = await moco('search', at('exact.npy'), 'v3', 'v99', '-k', '7', '--json');
    for (const { query, neighbours } of parsed(out)) {
      const own = rows[Number(query.slice(1))]!;
      const others = rows
        .map((row, i) => ({ id: `v${i}`, similarity: cosine(own, row) }))
        .filter(({ id }) => id !== query);
      const sorted = others.sort((a, b) => b.similarity - a.similarity).slice(0, 7);
      expect(neighbours.map(({ id }) => id)).toEqual(sorted.map(({ id }) => id));
      neighbours.forEach(({ similarity }, i) => {
        expect(similarity).toBeCloseTo(sorted[i]!.similarity, 5);
      });
    }
  });

  it('embeds files with the encoder that the set names, and finds the same image first', async () => {
    writeFileSync(at('copy.png'), readFileSync(join(images, 'p007.png')));
    const { code, out, err } = await moco('search', at('set.parquet'), at('copy.png'), 'p007.png', '-k', '3');
    expect([code, err]).toEqual([0, '']);
    const lines = out.split('\n');
    expect(lines[0]).toBe(at('copy.png'));
    expect(lines[1]).toBe('   1.0000  p007.png');
    // Asked by its id it does not find itself; the others are the same.
    expect(lines[4]).toBe('p007.png');
    expect(lines.slice(5, 7)).toEqual(lines.slice(2, 4));
    expect(lines[7]).toMatch(/^ {3,4}-?0\.\d{4} {2}p\d{3}\.png$/);
  });

  it('takes a folder with --model, and other names for the same weights', async () => {
    const image = join(images, 'p007.png');
    const fromFile = (
      await moco('search', at('set.parquet'), image, '--model', join(run, 'checkpoint-0001.safetensors'))
    ).out;
    expect((await moco('search', images, image, '--model', run)).out).toBe(fromFile);
    expect((await moco('search', images, image)).err).toMatch(
      /^moco: [^\n]*name the encoder of its images with --model\n$/,
    );
  });

  it('knows by itself that vectors came from the head', async () => {
    await moco('embed', run, images, '--out', at('head.npy'), '--with-head');
    const [result] = parsed(
      (await moco('search', at('head.npy'), join(images, 'p011.png'), '-k', '1', '--json')).out,
    );
    expect(result!.neighbours[0]).toMatchObject({ id: 'p011.png', similarity: expect.closeTo(1, 5) });
  });

  it('refuses another encoder, what is neither file nor id, and damaged files', async () => {
    await moco(
      'pretrain',
      images,
      '--out',
      at('other'),
      ...tiny,
      '--epochs',
      '1',
      '--knn-every',
      '0',
      '--seed',
      '5',
    );
    const image = join(images, 'p000.png');
    expect((await moco('search', at('set.parquet'), image, '--model', at('other'))).err).toMatch(
      /^moco: [^\n]*other has other weights than what made [^\n]*set.parquet [^\n]*\n$/,
    );
    expect((await moco('search', at('set.parquet'), 'nobody.png')).err).toMatch(
      /nobody.png is no file, and no image of .* has that id/,
    );
    writeFileSync(at('broken.png'), 'broken');
    expect((await moco('search', at('set.parquet'), at('broken.png'))).err).toMatch(
      /^moco: [^\n]*broken.png: not a readable image[^\n]*\n$/,
    );
    expect((await moco('search', at('exact.npy'), image)).err).toMatch(
      /does not say what made its vectors: name the encoder with --model/,
    );
    expect((await moco('search', at('exact.npy'), image, '--model', run)).err).toMatch(
      /has vectors of 12 values/,
    );
    expect((await moco('search', images, image, '--model', run, '--index')).err).toMatch(/leave --index out/);
  });
});

describe('moco search --index', () => {
  it('makes an index once, measures it, and finds nearly all that exact search finds', async () => {
    clustered('large', 4000, 24);
    const queries = Array.from({ length: 50 }, (_, i) => `v${i * 79}`);
    const file = at('large.npy');
    const first = await moco('search', file, ...queries, '--json', '--index');
    const recall = Number(/recall@10 (\d+\.\d) %/.exec(first.err)![1]);
    expect(recall).toBeGreaterThan(95);
    const second = await moco('search', file, ...queries, '--json', '--index');
    expect([second.out, second.err]).toEqual([first.out, '']);
    const exact = parsed((await moco('search', file, ...queries, '--json')).out);
    let right = 0;
    parsed(first.out).forEach(({ neighbours }, i) => {
      const wanted = new Map(exact[i]!.neighbours.map(({ id, similarity }) => [id, similarity]));
      expect(neighbours).toHaveLength(10);
      for (const { id, similarity } of neighbours) {
        if (!wanted.has(id)) continue;
        right++;
        expect(similarity).toBeCloseTo(wanted.get(id)!, 5);
      }
    });
    expect(right / (50 * 10)).toBeGreaterThan(0.95);
  });

  it('makes it anew when it is cut off or of older vectors', async () => {
    clustered('stale', 300, 8);
    const file = at('stale.npy');
    const again = async () => (await moco('search', file, 'v1', '--index')).err;
    expect(await again()).toMatch(/indexed/);
    expect(await again()).toBe('');
    truncateSync(`${file}.usearch`, 1000);
    expect(await again()).toMatch(/stale\.npy\.usearch is damaged, and made anew\n.*indexed/);
    const later = statSync(file).mtimeMs / 1000 + 5;
    utimesSync(file, later, later);
    expect(await again()).toMatch(/indexed/);
    renameSync(`${file}.usearch.json`, at('gone'));
    expect(await again()).toMatch(/indexed/);
    expect(existsSync(`${file}.usearch.partial`)).toBe(false);
  });

  it('makes it anew when the vectors were replaced while it was made', async () => {
    clustered('raced', 100, 8);
    const file = at('raced.npy');
    const opened = await openVectors(file);
    const vectors = async () => {
      const read = await opened.vectors();
      const later = statSync(file).mtimeMs / 1000 + 5;
      utimesSync(file, later, later);
      return read;
    };
    await openIndex({ ...opened, vectors }, {}, () => undefined);
    expect((await moco('search', file, 'v1', '--index')).err).toMatch(/indexed/);
  });
});

describe('a damaged index of the right size', () => {
  it('is noticed before USearch sees it, and made anew', async () => {
    clustered('harmed', 200, 8);
    const file = at('harmed.npy');
    const search = () => moco('search', file, 'v1', 'v77', '--json', '--index');
    const right = await search();
    const index = readFileSync(`${file}.usearch`);
    // Every part of the file: its head, the levels, vectors and neighbours.
    for (let n = 0; n < 24; n++) {
      const harmed = Buffer.from(index);
      const place = Math.floor((n * (index.length - 1)) / 23);
      harmed[place] = harmed[place]! ^ (1 << (n % 8));
      writeFileSync(`${file}.usearch`, harmed);
      const result = await search();
      expect(result.out, `byte ${place}`).toBe(right.out);
      expect(result.err, `byte ${place}`).toMatch(/is damaged, and made anew"}\n.*indexed/);
      expect(readFileSync(`${file}.usearch`).equals(index)).toBe(true);
    }
    const about = readFileSync(`${file}.usearch.json`, 'utf8');
    writeFileSync(`${file}.usearch.json`, about.replace('"recall":1', '"recall":0'));
    expect((await search()).err).toContain('is damaged, and made anew');
  });

  it('of a version without checksums is refused, with what to do', async () => {
    clustered('old', 200, 8);
    const file = at('old.npy');
    await moco('search', file, 'v1', '--index');
    const { indexCrc32: _, crc32: __, ...rest } = JSON.parse(readFileSync(`${file}.usearch.json`, 'utf8'));
    writeFileSync(`${file}.usearch.json`, JSON.stringify({ ...rest, format: 1 }));
    const { code, err } = await moco('search', file, 'v1', '--index');
    expect([code, err]).toEqual([
      1,
      `moco: ${file}.usearch is of an earlier version, without a checksum: remove it, and the same command makes it anew\n`,
    ]);
    rmSync(`${file}.usearch`);
    expect(await moco('search', file, 'v1', '--index')).toMatchObject({
      code: 0,
      err: expect.stringContaining('indexed'),
    });
  });
});

describe('moco dedupe', () => {
  it('groups what is near to a first, not along chains', async () => {
    // Directions in degrees: a cosine of .9 is 25.8 degrees.
    const angles = [0, 20, 40, 200, 90, 205, 0, 300];
    const rows = Float32Array.from(
      angles.flatMap((a) => [
        Math.cos((a * Math.PI) / 180) * (1 + a),
        Math.sin((a * Math.PI) / 180) * (1 + a),
      ]),
    );
    writeFileSync(at('angles.npy'), Buffer.concat([npyHeader(8, 2), new Uint8Array(rows.buffer)]));
    writeFileSync(at('angles.ids.json'), JSON.stringify({ ids: angles.map((a, i) => `${i}/${a}`) }));
    const { out } = await moco('dedupe', at('angles.npy'), '--threshold', '0.9', '--json');
    const groups = groupsOf(out);
    expect(groups.map(({ first, others }) => [first, ...others.map(({ id }) => id)])).toEqual([
      ['0/0', '6/0', '1/20'],
      ['3/200', '5/205'],
    ]);
    expect(groups[0]!.others[0]!.similarity).toBeCloseTo(1, 6);
    expect(groups[0]!.others[1]!.similarity).toBeCloseTo(Math.cos(Math.PI / 9), 6);
    const human = await moco('dedupe', at('angles.npy'), '--threshold', '1');
    expect(human.out).toBe(
      '          0/0\n= 1.0000  6/0\n\n1 group of near-duplicates; 1 of 8 images repeat a first.\n',
    );
    expect(human.err).toBe('');
  });

  it('says so where most images pass for copies, but for equal ones', async () => {
    const write = (file: string, ys: readonly number[]) => {
      const rows = Float32Array.from(ys.flatMap((y) => [1, y]));
      writeFileSync(at(`${file}.npy`), Buffer.concat([npyHeader(ys.length, 2), new Uint8Array(rows.buffer)]));
      writeFileSync(at(`${file}.ids.json`), JSON.stringify({ ids: ys.map((_, i) => `${i}`) }));
    };
    write('alike', [0, 0.1, -0.1, 0.12]);
    write('equal', [0, 0, 0, 0.1]);
    const alike = await moco('dedupe', at('alike.npy'));
    expect([alike.code, alike.err]).toEqual([
      0,
      'moco: note: most images repeat another at 0.95: to this encoder they are much alike; try --threshold 0.99\n',
    ]);
    expect((await moco('dedupe', at('equal.npy'))).err).toBe('');
  });

  it('refuses more than it can compare, before it reads them, and says how long it would take', async () => {
    const rows = 1_000_000;
    writeFileSync(at('million.npy'), npyHeader(rows, 512));
    // A hole in the file: nothing is written, and nothing may be read.
    truncateSync(at('million.npy'), npyHeader(rows, 512).length + rows * 512 * 4);
    writeFileSync(
      at('million.ids.json'),
      JSON.stringify({ ids: Array.from({ length: rows }, (_, i) => `${i}`) }),
    );
    const { code, out, err } = await moco('dedupe', at('million.npy'));
    expect([code, out]).toEqual([1, '']);
    // 1e12 pairs: 512e12 products at 2e10 a second, and a comparison each at 7e8: 27,000 seconds.
    expect(err).toBe(
      `moco: ${at('million.npy')} has 1000000 vectors, more than 100000: dedupe compares each with each, which may take 8 hours here; give --max 1000000 to do it all the same, or dedupe parts of the set\n`,
    );
    clustered('few', 12, 2);
    expect((await moco('dedupe', at('few.npy'), '--max', '11')).err).toMatch(/has 12 vectors, more than 11/);
    expect((await moco('dedupe', at('few.npy'), '--max', '12')).code).toBe(0);
    const folder = await moco('dedupe', images, '--model', run, '--max', '3');
    expect([folder.code, folder.err]).toEqual([1, expect.stringMatching(/more than 3: dedupe compares/)]);
  });

  it('gives all to a slow reader of its output', async () => {
    clustered('long', 6000, 2);
    const child = spawnMoco('dedupe', at('long.npy'), '--threshold', '-1', '--json');
    child.stdout!.pause();
    // More than a pipe holds: it must wait, not end.
    await Promise.race([child.ended, new Promise((resolve) => setTimeout(resolve, 4000))]);
    child.stdout!.resume();
    expect(await child.ended).toEqual({ code: 0, signal: null });
    // A note on stderr says that all are alike.
    const [group] = groupsOf(child.output().trimEnd().split('\n').at(-1)!);
    expect([group!.first, group!.others.length]).toEqual(['v0', 5999]);
  });

  it('finds copies of images in a folder', async () => {
    const some = imageFolder(20);
    writeFileSync(join(some, 'z-copy.png'), png(4));
    const { out } = await moco('dedupe', some, '--model', run, '--threshold', '1', '--json');
    expect(groupsOf(out)).toEqual([
      { first: 'p004.png', others: [{ id: 'z-copy.png', similarity: expect.closeTo(1, 5) }] },
    ]);
    expect((await moco('dedupe', some, '--model', run, '--threshold', '2')).err).toMatch(
      /Give a number from -1 to 1/,
    );
  });
});

it('the file that these tests search has 60 unit vectors and names its encoder', async () => {
  expect(await openVectors(at('set.parquet'))).toMatchObject({ rows: 60, info: { model: run, unit: true } });
});
