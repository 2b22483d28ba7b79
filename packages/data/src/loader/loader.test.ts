import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { normaliseBytes } from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ImageDataset } from '../dataset.ts';
import { openDataset } from '../open.ts';
import { surveyOf } from '../survey.ts';
import { encoded, temporaryFolder, write, writeImages } from '../testing.ts';
import { sameView, views } from '../views/config.ts';
import { createLoader, type LoaderOptions } from './create.ts';
import { loadEval } from './eval.ts';
import type { Batch } from './loader.ts';
import { createPool } from './pool.ts';

const root = temporaryFolder();
const mean = [0.5, 0.5, 0.5];
const std = [0.25, 0.25, 0.25];
const base: LoaderOptions = {
  batch: 4,
  size: 16,
  views: views['aug-plus']({ size: 16 }),
  mean,
  std,
  seed: 5,
  workers: 0,
};

let good: ImageDataset;
let flawed: ImageDataset;
beforeAll(async () => {
  await writeImages(join(root, 'good'), 18);
  good = await openDataset(join(root, 'good'));
  await writeImages(join(root, 'flawed'), 18);
  const intact = await encoded([9, 99, 199], 'jpeg', 120, 120);
  for (const name of ['a', 'z'])
    write(join(root, `flawed/${name}.jpg`), intact.subarray(0, intact.length >> 1));
  flawed = await openDataset(join(root, 'flawed'));
});

async function collect(
  set: ImageDataset,
  options: LoaderOptions,
  epochs = [0],
  fromStep = 0,
): Promise<Batch[]> {
  const loader = createLoader(set, options);
  const batches: Batch[] = [];
  try {
    for (const epoch of epochs) for await (const batch of loader.epoch(epoch, fromStep)) batches.push(batch);
  } finally {
    await loader.close();
  }
  return batches;
}

const same = (a: Batch[], b: Batch[]) => {
  expect(a.length).toBe(b.length);
  for (const [i, batch] of a.entries()) {
    expect(batch.indices).toEqual(b[i]!.indices);
    expect(batch.views).toEqual(b[i]!.views);
  }
};

describe('the loader', () => {
  it('hands out each image once per epoch, in an order of its own', async () => {
    const batches = await collect(good, base, [0, 1]);
    expect(batches).toHaveLength(8);
    const epochs = [batches.slice(0, 4), batches.slice(4)].map((list) => list.flatMap((b) => [...b.indices]));
    for (const order of epochs) expect(new Set(order).size).toBe(16);
    expect(epochs[0]).not.toEqual(epochs[1]);
    for (const batch of batches) {
      expect(batch.views.map((view) => view.length)).toEqual([4 * 3 * 16 * 16, 4 * 3 * 16 * 16]);
      expect(batch.views[0]).not.toEqual(batch.views[1]);
      expect(batch.waitMs).toBeGreaterThanOrEqual(0);
      // Normalised: (v / 255 - .5) / .25 lies in [-2, 2].
      for (const value of batch.views[0]!) expect(Math.abs(value)).toBeLessThanOrEqual(2);
    }
  });

  it('keeps the incomplete batch and the order when asked to', async () => {
    const batches = await collect(good, { ...base, dropLast: false, shuffle: false });
    expect(batches.map((b) => b.indices.length)).toEqual([4, 4, 4, 4, 2]);
    expect(batches.flatMap((b) => [...b.indices])).toEqual([...Array(18).keys()]);
  });

  it('gives the same batches with 0, 1 and 2 workers', async () => {
    const alone = await collect(good, base, [0, 1]);
    same(await collect(good, { ...base, workers: 1 }, [0, 1]), alone);
    same(await collect(good, { ...base, workers: 2 }, [0, 1]), alone);
  });

  it('hands out bytes that normalise to the same views, damaged images or not', async () => {
    for (const set of [good, flawed]) {
      const floats = await collect(set, base);
      const loader = createLoader<Uint8Array>(set, { ...base, bytes: true });
      let at = 0;
      for await (const { indices, views: bytes } of loader.epoch(0)) {
        expect(indices).toEqual(floats[at]!.indices);
        expect(bytes.every((view) => view instanceof Uint8Array)).toBe(true);
        const normalised = bytes.map((view) => normaliseBytes(view, 16 * 16, { mean, std }));
        expect(normalised).toEqual(floats[at++]!.views);
      }
      expect(at).toBe(floats.length);
    }
  });

  it('makes the same draw in another size and as other numbers, damaged images or not', async () => {
    const [first] = base.views;
    const own = { mean: [0, 0, 0], std: [1, 1, 1] };
    const twice = [sameView(first!, 0, 16, 'bytes'), sameView(first!, 0, 32, own)];
    for (const set of [good, flawed]) {
      const [plain, batches] = [
        await collect(set, base),
        await collect(set, { ...base, views: [...base.views, ...twice], workers: 1 }),
      ];
      for (const [at, { indices, views: made }] of batches.entries()) {
        const [one, two, bytes, large] = made as unknown as [
          Float32Array,
          Float32Array,
          Uint8Array,
          Float32Array,
        ];
        expect([indices, one, two]).toEqual([plain[at]!.indices, ...plain[at]!.views]);
        expect(normaliseBytes(bytes, 16 * 16, { mean, std })).toEqual(one);
        expect(large).toHaveLength(4 * 3 * 32 * 32);
        // By channel and image: the mean level of a view in either size.
        const level = (view: ArrayLike<number>, side: number, scale: number) =>
          Array.from({ length: 12 }, (_, plane) => {
            const start = plane * side * side;
            let sum = 0;
            for (let i = 0; i < side * side; i++) sum += view[start + i]! * scale;
            return sum / side ** 2;
          });
        const [small, grown] = [level(bytes, 16, 1), level(large, 32, 255)];
        // Resampled edges are rounded elsewhere; another draw's colours are tens of levels away.
        small.forEach((value, plane) => {
          expect(Math.abs(value - grown[plane]!)).toBeLessThan(3);
        });
      }
    }
  });

  it('resumes in the middle of an epoch', async () => {
    const intact = await collect(good, base, [3]);
    same(await collect(good, { ...base, workers: 1 }, [3], 2), intact.slice(2));
  });

  it('makes a part of each batch as it is in the whole, damaged images or not', async () => {
    for (const [set, options] of [
      [good, base],
      // Two thirds of the batches have a damaged image, in one part or the other.
      [flawed, { ...base, batch: 6, maxBad: 2 }],
      [flawed, { ...base, batch: 6, maxBad: 2, bytes: true, workers: 1 }],
    ] as const) {
      const all = await collect(set, options, [0, 1]);
      const parts = await Promise.all(
        [0, 1].map((index) => collect(set, { ...options, part: { index, count: 2 } }, [0, 1])),
      );
      const joined = all.map((batch, i) => ({
        ...batch,
        indices: Int32Array.from(parts.flatMap((part) => [...part[i]!.indices])),
        views: batch.views.map((_, v) =>
          (batch.views[v]!.constructor as Float32ArrayConstructor).from(
            parts.flatMap((part) => [...part[i]!.views[v]!]),
          ),
        ),
      }));
      same(all, joined);
      for (const part of parts)
        expect(part.map(({ indices }) => indices.length)).toEqual(all.map(() => options.batch / 2));
    }
  });

  it('decodes no image of another part', async () => {
    const decoded = new Set<number>();
    const { share: _, ...own } = good;
    const watched: ImageDataset = {
      ...own,
      share: () => ({ kind: 'here' }),
      decode: (index) => {
        decoded.add(index);
        return good.decode(index);
      },
    };
    await surveyOf(watched);
    decoded.clear();
    const batches = await collect(watched, { ...base, part: { index: 1, count: 2 } });
    expect([...decoded].sort()).toEqual(batches.flatMap(({ indices }) => [...indices]).sort());
    expect(decoded.size).toBe(8);
  });

  it('refuses a batch that has no equal parts', () => {
    expect(() => createLoader(good, { ...base, part: { index: 0, count: 3 } })).toThrow(
      "a batch of 4 can't be cut into 3 equal parts",
    );
  });

  it('makes an image’s view independent of the batch that it is in', async () => {
    const at = async (batch: number) => {
      const batches = await collect(good, { ...base, batch });
      const rows = new Map<number, Float32Array>();
      for (const { indices, views: made } of batches) {
        indices.forEach((index, row) => {
          rows.set(index, made[0]!.slice(row * 768, (row + 1) * 768));
        });
      }
      return rows;
    };
    const [three, six] = [await at(3), await at(6)];
    expect(three.size).toBe(18);
    expect(three).toEqual(six);
  });

  it('can be left early and entered again', async () => {
    const loader = createLoader(good, { ...base, workers: 2 });
    for await (const batch of loader.epoch(0)) {
      expect(batch.indices).toHaveLength(4);
      break;
    }
    const again: Batch[] = [];
    for await (const batch of loader.epoch(0)) again.push(batch);
    await loader.close();
    same(again, await collect(good, base));
  });

  it('refuses a batch larger than the set', () => {
    expect(() => createLoader(good, { ...base, batch: 19 })).toThrow(
      /batch of 19 is larger than good \(18 images\)/,
    );
  });
});

describe('damaged images', () => {
  it('are skipped, reported once, and replaced by the next of the order', async () => {
    const skipped: string[] = [];
    const options = { ...base, batch: 5, shuffle: false, onSkip: (s: { id: string }) => skipped.push(s.id) };
    const loader = createLoader(flawed, options);
    const orders: number[][] = [];
    for (const epoch of [0, 1])
      for await (const batch of loader.epoch(epoch)) orders.push([...batch.indices]);
    expect(skipped).toEqual(['a.jpg', 'z.jpg']);
    expect(loader.skipped.map((s) => s.id)).toEqual(['a.jpg', 'z.jpg']);
    expect(loader.skipped[0]!.reason).toContain('a.jpg');
    // 0 and 19 are damaged: 5 stands in for 0, and after the last comes the first readable one.
    expect(orders.slice(0, 4)).toEqual([
      [5, 1, 2, 3, 4],
      [5, 6, 7, 8, 9],
      [10, 11, 12, 13, 14],
      [15, 16, 17, 18, 1],
    ]);
    same(await collect(flawed, { ...base, workers: 2 }), await collect(flawed, base));
  });

  it('are an error beyond maxBad', async () => {
    await expect(collect(flawed, { ...base, maxBad: 1, dropLast: false })).rejects.toThrow(
      /2 damaged images, more than the 1 allowed/,
    );
    await expect(collect(flawed, { ...base, maxBad: 0, workers: 1, dropLast: false })).rejects.toThrow(/jpg/);
  });

  it('are left out of batches for evaluation, or an error there', async () => {
    const read = async (options: object) => {
      const rows: number[] = [];
      for await (const { indices } of loadEval(flawed, { size: 16, mean, std, batch: 7, ...options }))
        rows.push(...indices);
      return rows;
    };
    await expect(read({})).rejects.toThrow(/more than the 0 allowed/);
    expect(await read({ onSkip: () => undefined })).toEqual(Array.from({ length: 18 }, (_, i) => i + 1));
  });

  it('end the run if there is nothing else', async () => {
    const folder = join(root, 'ruined');
    for (let i = 0; i < 30; i++) write(join(folder, `${i}.png`), 'no image');
    const set = await openDataset(folder);
    await expect(collect(set, base)).rejects.toThrow(/damaged|readable/);
    await expect(collect(set, { ...base, maxBad: 100 })).rejects.toThrow(/only 0 of 30 images are readable/);
  });
});

describe('the pool', () => {
  it('makes batches under the eval transform for the indices asked for, like the process itself', async () => {
    const pool = createPool(2);
    const read = async (options: object) => {
      const chunks: { indices: Int32Array; data: Float32Array }[] = [];
      const indices = [3, 1, 4, 1, 5, 9, 2];
      for await (const chunk of loadEval(good, { size: 8, mean, std, batch: 3, indices, ...options }))
        chunks.push(chunk);
      return chunks;
    };
    const [alone, pooled] = [await read({}), await read({ pool })];
    await pool.close();
    expect(pooled).toEqual(alone);
    expect(alone.flatMap((c) => [...c.indices])).toEqual([3, 1, 4, 1, 5, 9, 2]);
    expect(alone.map((c) => c.data.length)).toEqual([3 * 192, 3 * 192, 192]);
  });

  it('replaces a thread that dies, and the batches are the same', async () => {
    const started: Worker[] = [];
    const onWorker = (worker: Worker) => started.push(worker);
    process.on('worker', onWorker);
    const loader = createLoader(good, { ...base, workers: 2 });
    const batches: Batch[] = [];
    for await (const batch of loader.epoch(0)) {
      batches.push(batch);
      if (batches.length === 1) await started[0]!.terminate();
    }
    await loader.close();
    process.off('worker', onWorker);
    expect(started).toHaveLength(3);
    same(batches, await collect(good, base));
  });

  it('rejects what is under way when it closes', async () => {
    const pool = createPool(1);
    const make = { kind: 'eval', size: 16 } as const;
    const run = pool.run(good, { indices: new Int32Array([0]), rows: 1, mean, std, make });
    const failed = expect(run).rejects.toThrow(/closed/);
    await pool.close();
    await failed;
  });

  it('lets the process end, closed or idle', async () => {
    const script = `
      import { openDataset, createLoader, views } from ${JSON.stringify(new URL('../index.ts', import.meta.url).href)};
      const set = await openDataset(${JSON.stringify(join(root, 'good'))});
      const options = { batch: 4, size: 16, views: views.v1({ size: 16 }), mean: [0, 0, 0], std: [1, 1, 1], seed: 1, workers: 1 };
      const [closed, idle] = [createLoader(set, options), createLoader(set, options)];
      let steps = 0;
      for (const loader of [closed, idle]) for await (const batch of loader.epoch(0)) steps += batch.views.length;
      const start = Date.now();
      while (Date.now() - start < 200);
      await closed.close();
      console.log('closed after', steps);`;
    const tsconfig = join(import.meta.dirname, '../../tsconfig.sources.json');
    const run = promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', script],
      {
        env: { ...process.env, TSX_TSCONFIG_PATH: tsconfig },
        cwd: import.meta.dirname,
      },
    );
    expect((await run).stdout.trim()).toBe('closed after 16');
  });
});
