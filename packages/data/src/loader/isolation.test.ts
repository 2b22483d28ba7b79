import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileDataset } from '../datasets/files.ts';
import { temporaryFolder, writePictures } from '../testing.ts';
import { views } from '../views/config.ts';
import { createLoader } from './create.ts';
import type { Batch } from './loader.ts';
import { createPool } from './pool.ts';

const root = temporaryFolder();
const folder = join(root, 'pictures');
await writePictures(folder, 20);
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
    'pictures',
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

/** The children of this process that wait for a pipe's writer: a decoder at work on it. */
function waiting(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
        if (Number(parent) !== process.pid) return false;
        // Opening a pipe without a writer waits, with no handle yet: the threads tell by what they wait in.
        return readdirSync(`/proc/${pid}/task`).some((task) =>
          /fifo|wait_for_partner/.test(readFileSync(`/proc/${pid}/task/${task}/wchan`, 'utf8')),
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe('processes in place of threads', () => {
  it('make the same batches', async () => {
    const [alone, apart] = [await collect(names, false, 0), await collect(names, true, 2)];
    expect(apart).toEqual(alone);
  });

  it('that a picture crashes are replaced; it is left out, and the order of the others is that of a damaged one', async () => {
    // A pipe stands for a file on which the decoder hangs in native code, and is then struck down by a signal.
    const pipe = join(folder, 'p999.png');
    execFileSync('mkfifo', [pipe]);
    const struck = new Set<number>();
    const timer = setInterval(() => {
      for (const pid of waiting()) {
        if (struck.has(pid)) continue;
        struck.add(pid);
        process.kill(pid, 'SIGSEGV');
      }
    }, 50);
    const crashed = await collect([...names, 'p999.png'], true, 1).finally(() => clearInterval(timer));
    expect(struck.size).toBe(2);
    expect(crashed.skipped).toEqual([
      'p999.png: p999.png: decoding it ended a process twice (it was ended by SIGSEGV)',
    ]);
    const damaged = await collect([...names, 'missing.png'], false, 0);
    expect(crashed.batches).toEqual(damaged.batches);
  });
});
