/** Ranks that are killed at random moments: `MOCO_KILLS=20 scripts/test-mpi.sh` for more of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { rng } from '../../packages/core/src/index.ts';
import { launchers, mpirun, nothingLeft } from './mpirun.ts';

const program = fileURLToPath(new URL('rank.mjs', import.meta.url));
const count = Number(process.env.MOCO_KILLS ?? 4);
const random = rng(Number(process.env.MOCO_SEED ?? 1), 'mpi/kills');

it.each(Array.from({ length: count }, (_, i) => i))('kill %i ends the whole job, as a failure', async (i) => {
  const [ranks, launcher] = [2 + (i % 2), launchers[i % launchers.length]!];
  const job = mpirun(launcher, ranks, [program, 'forever']);
  // Each fourth while the ranks still look for each other.
  if (i % 4 === 3) while (job.ranks().length < ranks) await sleep(5);
  else await job.line();
  await sleep(random.integer(300));
  process.kill(job.ranks()[random.integer(ranks)]!, 'SIGKILL');
  expect((await job.ended).code).not.toBe(0);
  await nothingLeft(job);
});
