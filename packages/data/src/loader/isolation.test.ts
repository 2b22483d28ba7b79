import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { fileDataset } from '../datasets/files.ts';
import { temporaryFolder, writeImages } from '../testing.ts';
import { views } from '../views/config.ts';
import { createLoader } from './create.ts';
import type { Batch } from './loader.ts';
import { lookAtImages } from './look.ts';
import { createPool } from './pool.ts';

const root = temporaryFolder();
const folder = join(root, 'images');
await writeImages(folder, 20);
const names = readdirSync(folder).sort();
const options = {
  batch: 4,
  size: 16,
  views: views.v1({ size: 16 }),
  mean: [0, 0, 0],
  std: [1, 1, 1],
  seed: 3,
};

const setOf = (paths: readonly string[]) =>
  fileDataset(
    'images',
    folder,
    paths.map((path) => ({ path, id: path })),
    { data: folder, split: 'train' },
  );

async function collect(paths: readonly string[], isolate: boolean, workers: number) {
  const pool = createPool(workers, { isolate });
  const skipped: string[] = [];
  const loader = createLoader(setOf(paths), {
    ...options,
    ...{ workers, pool, onSkip: ({ id, reason }) => skipped.push(`${id}: ${reason}`) },
  });
  const batches: Batch[] = [];
  try {
    for (const epoch of [0, 1]) for await (const batch of loader.epoch(epoch)) batches.push(batch);
  } finally {
    await loader.close();
    await pool.close();
  }
  return { batches: batches.map(({ indices, views: made }) => ({ indices, views: made })), skipped };
}

/** A module that ends the process which looks at a file, as a defect in a decoder would, and counts. */
function trap(path: string, counts: string): string {
  const text = `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const { open } = fs;
fs.open = (path, ...rest) => {
  if (path !== ${JSON.stringify(path)}) return open(path, ...rest);
  fs.appendFileSync(${JSON.stringify(counts)}, '.');
  process.kill(process.pid, 'SIGSEGV');
};
syncBuiltinESMExports();`;
  return `--import data:text/javascript,${encodeURIComponent(text)}`;
}

describe('processes in place of threads', () => {
  it('make the same batches', async () => {
    const [alone, apart] = [await collect(names, false, 0), await collect(names, true, 2)];
    expect(apart).toEqual(alone);
  });

  it('that an image crashes are replaced; it is left out, and the order of the others is that of a damaged one', async () => {
    const lethal = join(folder, 'p999.png');
    const counts = join(root, 'deaths');
    vi.stubEnv('NODE_OPTIONS', trap(lethal, counts));
    const crashed = await collect([...names, 'p999.png'], true, 1).finally(() => vi.unstubAllEnvs());
    expect(readFileSync(counts, 'utf8')).toBe('..');
    expect(crashed.skipped).toEqual([
      'p999.png: p999.png: decoding it ended a process twice (it was ended by SIGSEGV)',
    ]);
    const damaged = await collect([...names, 'missing.png'], false, 0);
    expect(crashed.batches).toEqual(damaged.batches);
  });

  it('look at images, but for one that crashes them', async () => {
    vi.stubEnv('NODE_OPTIONS', trap(join(folder, 'p999.png'), join(root, 'looks')));
    const pool = createPool(1, { isolate: true });
    const set = setOf([names[0]!, 'p999.png', names[1]!]);
    const looks = await lookAtImages(set, [0, 1, 2], pool).finally(async () => {
      vi.unstubAllEnvs();
      await pool.close();
    });
    const sizes = await Promise.all([0, 2].map((index) => set.decode(index)));
    expect(looks.map(({ width, height }) => [width, height])).toEqual(
      sizes.map(({ width, height }) => [width, height]),
    );
  });
});
