/** Damaged images: every command leaves them out, counts and lists them, and refuses more than --max-bad. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const run = join(temporaryFolder(), 'run');
const small = ['-j', '0', '--threads', '1'];
const data = temporaryFolder();
for (const split of ['train', 'test'])
  for (const [i, name] of ['a', 'b'].entries()) writeImages(join(data, split, name), 8, 100 * i);
const damaged = ['train/a/broken.png', 'train/b/broken.png', 'test/a/broken.png'];
for (const name of damaged) writeFileSync(join(data, name), 'no image');
const vectors = join(temporaryFolder(), 'v.parquet');
const out = () => join(temporaryFolder(), 'o');
const probe = ['-b', '4', '--epochs', '1', '--lr', '0.1', ...small];

beforeAll(async () => {
  const made = await moco('pretrain', imageFolder(16), ...tiny, '--epochs', '1', '--out', run);
  expect(made).toMatchObject({ code: 0, err: '' });
});

describe('are left out, counted, listed, and refused beyond --max-bad', () => {
  // How many of them each command meets.
  it.each<[string, number, () => string[]]>([
    ['knn', 3, () => ['knn', run, data, ...small]],
    ['knn of retrieval', 1, () => ['knn', run, data, '--no-labels', ...small]],
    ['lincls', 3, () => ['lincls', run, data, ...probe, '--out', out()]],
    ['lincls of kept features', 3, () => ['lincls', run, data, ...probe, '--cache-features', '--out', out()]],
    ['finetune', 3, () => ['finetune', run, data, ...probe, '--out', out()]],
    ['embed', 2, () => ['embed', run, data, '--out', join(out(), 'x.npy'), ...small]],
    ['dedupe', 2, () => ['dedupe', data, '--model', run, ...small]],
    ['search', 2, () => ['search', data, join(data, 'test/b/p000.png'), '--model', run, ...small]],
    ['map', 2, () => ['map', data, '--model', run, '--out', join(out(), 'm.html'), ...small]],
    [
      'export --calibrate',
      2,
      () => ['export', run, '-o', join(out(), 'm.onnx'), '--precision', 'int8', '--calibrate', data],
    ],
  ])('%s', async (_, count, args) => {
    const passed = await moco(...args());
    const text = passed.out + passed.err;
    expect([passed.code, text]).toEqual([
      0,
      expect.stringMatching(/damaged images? (was|were) left out|could not be read and were left out/),
    ]);
    const listed = passed.err
      .split('\n')
      .filter((line) => /^moco: warning: left out: .*broken\.png/.test(line));
    expect(new Set(listed).size).toBe(count);
    expect(listed).toHaveLength(count);
    expect(text).toContain(count === 1 ? '1 damaged image was' : `${count} `);
    const refused = await moco(...args(), '--max-bad', '0');
    expect(refused.code).toBe(1);
    expect(refused.err.trim().split('\n').at(-1)).toMatch(
      /^moco: .*1 damaged image, more than the 0 allowed; the last: .*broken\.png/,
    );
    expect(refused.err).not.toMatch(/\n {4}at /);
  });

  it('-e, export --measure and ablate', async () => {
    const folder = out();
    await moco('lincls', run, data, ...probe, '--out', folder);
    const best = join(folder, 'best.safetensors');
    const again = await moco('lincls', best, '-e', ...small);
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining('1 damaged image was left out') });
    expect((await moco('lincls', best, '-e', '--max-bad', '0', ...small)).code).toBe(1);

    const own = join(temporaryFolder(), 'own');
    await moco('pretrain', data, ...tiny, '--epochs', '1', '--out', own);
    const model = join(temporaryFolder(), 'm.onnx');
    const measured = await moco('export', own, '-o', model, '--measure');
    expect([measured.code, measured.out]).toEqual([
      0,
      expect.stringMatching(/kNN accuracy[\s\S]*3 damaged images were left out/),
    ]);
  });
});

it('a query of moco search that is damaged is an error that names it', async () => {
  await moco('embed', run, data, '--out', vectors, ...small);
  const search = await moco('search', vectors, join(data, damaged[0]!), '--model', run, ...small);
  expect([search.code, search.err]).toEqual([
    1,
    expect.stringMatching(/^moco: .*broken\.png: not a readable/),
  ]);
});

describe('an evaluation within a training', () => {
  it('leaves them out, and adds them to the list of the run', async () => {
    const folder = out();
    const flags = [...tiny, '--epochs', '1', '--knn-every', '1', '--out', folder];
    const made = await moco('pretrain', data, ...flags);
    expect([made.code, made.out]).toEqual([0, expect.stringContaining('3 damaged images were left out')]);
    expect(logged(folder, 'evaluation')).toHaveLength(1);
    const list = readFileSync(join(folder, 'skipped.jsonl'), 'utf8').trim().split('\n');
    expect(list.map((line) => (JSON.parse(line) as { id: string }).id).sort()).toEqual([...damaged].sort());
  });

  it('never ends it, whatever the test images are', async () => {
    const bad = temporaryFolder();
    for (const name of ['a', 'b']) writeImages(join(bad, 'train', name), 8);
    for (const name of ['a', 'b']) {
      writeImages(join(bad, 'test', name), 1);
      writeFileSync(join(bad, 'test', name, 'p000.png'), 'no image');
    }
    for (const limit of [['--max-bad', '0'], []]) {
      const folder = out();
      const flags = [...tiny, '--epochs', '2', '--knn-every', '1', '--out', folder, ...limit];
      const made = await moco('pretrain', bad, ...flags);
      expect([made.code, made.out]).toEqual([0, expect.stringContaining('Saved ')]);
      expect(made.err).toMatch(
        /epoch 1 could not be measured: .*(more than the 0 allowed|none of its images could be read)/,
      );
      expect(logged(folder, 'unmeasured')).toHaveLength(2);
      expect(logged(folder, 'checkpoint')).toHaveLength(2);
    }
  });
});
