import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDataset } from './open.ts';
import { nearestLabelAccuracy, recallAt1 } from './recall.ts';
import {
  embedAll,
  evaluateRetrieval,
  neighbourAccuracy,
  retrievalTask,
  retrievalTasks,
  scoreRetrieval,
} from './retrieval.ts';
import { temporaryFolder, write, writeImages } from './testing.ts';

const options = { size: 8, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };

describe('recall', () => {
  const gallery = new Float32Array([1, 0, 0, 1, -1, 0]);

  it('counts queries whose nearest row by cosine is the target', () => {
    // Lengths must not matter: (9, 1) is nearest to row 0, (.1, .2) to row 1, (-1, -.1) to row 2.
    const queries = new Float32Array([9, 1, 0.1, 0.2, -1, -0.1, -1, -0.1]);
    expect(recallAt1(queries, gallery, 2, new Int32Array([0, 1, 2, 0]))).toBe(0.75);
  });

  it('does not reward features that all agree, or are no numbers', () => {
    const flat = new Float32Array(20).fill(1);
    const all = Int32Array.from({ length: 10 }, (_, i) => i);
    expect(recallAt1(flat, flat, 2, all)).toBe(0.1);
    expect(
      recallAt1(
        flat.map(() => Number.NaN),
        flat,
        2,
        all,
      ),
    ).toBe(0);
  });

  it('refuses features that are no whole rows', () => {
    expect(() => recallAt1(new Float32Array(5), gallery, 2, new Int32Array(2))).toThrow(RangeError);
  });

  it('does not count what has no label', () => {
    const features = new Float32Array([1, 0, 1, 0.1, 0, 1, 0.1, 1]);
    expect(nearestLabelAccuracy(features, 2, [-1, -1, 1, 1])).toBe(1);
    expect(nearestLabelAccuracy(features, 2, [-1, -1, -1, -1])).toBe(0);
  });

  it('leaves the row itself out of its neighbours', () => {
    const features = new Float32Array([1, 0, 1, 0.1, 0, 1, 0.1, 1, -1, -1]);
    // The last row's nearest other row is one of the others, with another label.
    expect(nearestLabelAccuracy(features, 2, [0, 0, 1, 1, 2])).toBe(0.8);
  });
});

describe('tasks on held-out emoji', () => {
  it('pairs each drawing with the other designer’s drawing of the same emoji', async () => {
    const set = await openDataset('emoji', { split: 'test', designers: ['google', 'facebook', 'twitter'] });
    const task = retrievalTask('cross-designer', set, options);
    expect(task.rounds.map((round) => round.name).sort()).toEqual([
      'facebook-google',
      'facebook-twitter',
      'google-facebook',
      'google-twitter',
      'twitter-facebook',
      'twitter-google',
    ]);
    for (const round of task.rounds) {
      const [asking, answering] = round.name.split('-');
      expect(round.query.length).toBeGreaterThan(300);
      round.query.forEach((row, i) => {
        const right = set.id(round.gallery[round.target[i]!]!);
        expect(set.id(row).split('/')[0]).toBe(asking);
        expect(right.split('/')).toEqual([answering, set.id(row).split('/')[1]]);
      });
    }
    // Features that are the emoji's own name find it in every hand; those of the designer alone do not.
    const names = [...new Set(Array.from({ length: set.length }, (_, i) => set.id(i).split('/')[1]!))];
    const oracle = new Float32Array(set.length * names.length);
    for (let i = 0; i < set.length; i++)
      oracle[i * names.length + names.indexOf(set.id(i).split('/')[1]!)] = 1;
    expect(scoreRetrieval(task, oracle, oracle, names.length)).toBe(1);
    expect(scoreRetrieval(task, oracle.fill(1), oracle, names.length)).toBeLessThan(0.01);
  });

  it('embeds shared images once, and asks with edits that never change', async () => {
    const set = await openDataset('emoji', { split: 'test' });
    const tasks = retrievalTasks(set, options);
    expect(tasks.map((task) => task.name)).toEqual(['edited-copies', 'cross-designer']);
    let rows = 0;
    const embed = async (data: Float32Array, count: number) => {
      rows += count;
      return data;
    };
    const scores = await evaluateRetrieval(tasks, embed, { batch: 100 });
    expect(rows).toBe(2 * set.length);
    // Raw pixels: far better than chance (1 / 774), far from perfect.
    expect(scores['edited-copies']).toBeGreaterThan(0.05);
    expect(scores['edited-copies']).toBeLessThan(0.9);
    expect(await evaluateRetrieval(tasks, embed, { batch: 37 })).toEqual(scores);
    const edits = { ...options, seed: 1 };
    expect(await evaluateRetrieval(retrievalTasks(set, edits).slice(0, 1), embed)).not.toEqual({
      'edited-copies': scores['edited-copies'],
    });
  });

  it('needs two designers', async () => {
    const set = await openDataset('emoji', { split: 'test', designers: ['google'] });
    expect(retrievalTasks(set, options).map((task) => task.name)).toEqual(['edited-copies']);
    expect(() => retrievalTask('cross-designer', set, options)).toThrow(/fewer than two/);
  });
});

it('neighbours count by the labels of the images that could be read', async () => {
  const root = temporaryFolder();
  for (const name of ['a', 'b']) await writeImages(join(root, name), 3);
  const set = await openDataset(root);
  // a, a, b, b: each finds its like, but the last row finds a first.
  const features = new Float32Array([1, 0, 1, 0.1, 0, 1, 1, 0.2]);
  expect(neighbourAccuracy(set, { features, dim: 2, rows: Int32Array.of(0, 2, 3, 5) })).toBe(0.5);
  expect(neighbourAccuracy(set, { features, dim: 2, rows: Int32Array.of(0, 1, 3, 2) })).toBe(0.75);
});

describe('damaged images', () => {
  const root = temporaryFolder();
  const intact = join(root, 'whole');
  const flawed = join(root, 'flawed');
  const embed = async (data: Float32Array) => data;

  beforeAll(async () => {
    await writeImages(intact, 12);
    await writeImages(flawed, 12);
    for (const name of ['p000b', 'p005b', 'z']) write(join(flawed, `${name}.png`), 'no image');
  });

  it('are neither asked nor found, told once in each sequence, and an error beyond maxBad', async () => {
    const set = await openDataset(flawed);
    const tasks = retrievalTasks(set, options);
    const skipped: string[] = [];
    const onSkip = ({ id }: { id: string }) => skipped.push(id);
    // The edits are drawn by number: those of the readable images alone.
    const good = [...Array(set.length).keys()].filter((i) => /^p\d+\.png$/.test(set.id(i)));
    const plain = { ...(await openDataset(intact)), source: { data: 'x', split: 'train' as const } };
    const scores = await evaluateRetrieval(tasks, embed, { onSkip, batch: 4 });
    expect(skipped.sort()).toEqual(['p000b.png', 'p000b.png', 'p005b.png', 'p005b.png', 'z.png', 'z.png']);
    const [task] = tasks;
    const rows = Int32Array.from({ length: good.length }, (_, i) => i);
    const gallery = await embedAll(retrievalTask('edited-copies', plain, options).gallery, embed, {});
    const asked = await embedAll(task!.queries, embed, { onSkip });
    expect([...asked.rows]).toEqual(good);
    const round = { name: 'all', query: rows, gallery: rows, target: rows };
    expect(scores['edited-copies']).toBe(
      scoreRetrieval({ rounds: [round] }, asked.features, gallery.features, gallery.dim),
    );
    await expect(evaluateRetrieval(tasks, embed, { maxBad: 2 })).rejects.toThrow(
      /3 damaged images, more than the 2 allowed/,
    );
    await expect(evaluateRetrieval(tasks, embed)).rejects.toThrow(/1 damaged image, more than the 0/);
  });

  it('may not be all', async () => {
    const folder = join(root, 'none');
    write(join(folder, 'a.png'), 'no image');
    const tasks = retrievalTasks(await openDataset(folder), options);
    await expect(evaluateRetrieval(tasks, embed, { onSkip: () => {} })).rejects.toThrow(
      /none: none of its images could be read/,
    );
  });
});

describe('tasks on any folder', () => {
  const root = temporaryFolder();
  beforeAll(() => writeImages(join(root, 'a'), 12));

  it('finds edited copies, of as many images as asked for', async () => {
    const set = await openDataset(root);
    const task = retrievalTask('edited-copies', set, { ...options, limit: 5 });
    expect([task.queries.length, task.gallery.length]).toEqual([5, 5]);
    const seen: number[] = [];
    for await (const { indices, data } of task.gallery.batches({ batch: 2 })) {
      seen.push(...indices);
      expect(data.length).toBe(indices.length * 192);
    }
    expect(seen).toEqual([0, 2, 4, 7, 9]);
  });
});
