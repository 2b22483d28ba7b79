/** A training of several ranks: it runs, and goes on with another number of them where one was killed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { flags, images, moco } from '../faults/lib.mjs';
import { launchers, mpirun, nothingLeft } from './mpirun.ts';

const work = mkdtempSync(join(tmpdir(), 'moco-mpi-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

it.each(launchers)('under %s two ranks train, one is killed, and one process goes on', async (launcher) => {
  const data = images(join(work, 'data'));
  const out = join(work, launcher.replaceAll('/', '_'));
  const args = flags(data, out, ['--resume', 'auto']);
  const job = mpirun(launcher, 2, [moco, ...args]);
  while (!existsSync(join(out, 'latest.json')) && job.processes().length > 0) await sleep(20);
  process.kill(job.ranks()[1]!, 'SIGKILL');
  const killed = await job.ended;
  expect(killed.code).not.toBe(0);
  expect(killed.out).toContain('2 replicas of 4 images share each batch');
  await nothingLeft(job);
  const alone = spawnSync(process.execPath, [moco, ...args], { encoding: 'utf8' });
  expect(alone).toMatchObject({ status: 0, stdout: expect.stringMatching(/Epoch 4\/4 done/) });
  expect(alone.stdout).not.toMatch(/^Epoch 1 \[1\/4\]/m);
});
