// SIGKILL at random moments, in mid-step, and while a checkpoint is written.
import { mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { rng } from '../../packages/core/dist/index.js';
import { checkpoints, flags, losses, SAVE_EVERY, sleep, start, stepOf, unlike, untilStep } from './lib.mjs';

export const name = 'killed processes (SIGKILL)';

export async function run({ work, data, reference, quick, backend, seed }) {
  // Others compile for seconds.
  const count = quick ? (backend === undefined ? 16 : 4) : 100;
  const random = rng(seed, 'faults/kills');
  const failures = [];
  let [tried, survived, lost, within, number] = [0, 0, 0, 0, 0];
  let folder = join(work, 'kills-0');
  while (tried < count) {
    mkdirSync(folder, { recursive: true });
    // In a process group of its own, in which nothing may be left of it.
    const job = start(flags(data, folder, ['--resume', 'auto']), { detached: true });
    const { child, ended } = job;
    const atWriting = tried % 2 === 1;
    const watcher = atWriting
      ? killAtWriting(folder, child, 1 + random.integer(3), random.integer(4))
      : undefined;
    if (!atWriting) {
      const delay = random.integer(1700);
      const begun = tried % 4 === 0 ? sleep(300 + delay) : untilStep(job, 1 + random.integer(3));
      void begun.then(() => sleep(tried % 4 === 0 ? 0 : delay % 50)).then(() => child.kill('SIGKILL'));
    }
    const { code, signal, err } = await ended;
    watcher?.close();
    if (isAlive(-child.pid)) failures.push(`kill ${tried}: a process is left`);
    if (signal !== 'SIGKILL') {
      if (code !== 0) failures.push(`kill ${tried}: ${err.trim()}`);
      const why = code === 0 ? unlike(folder, reference) : undefined;
      if (why) failures.push(`after kill ${tried}: ${why}`);
      folder = join(work, `kills-${++number}`);
      continue;
    }
    tried++;
    if (atWriting) within++;
    const steps = losses(folder).length;
    lost = Math.max(lost, steps - stepOf(checkpoints(folder).at(-1)));
    survived++;
  }
  const { code, err } = await start(flags(data, folder, ['--resume', 'auto'])).ended;
  const why = code === 0 ? unlike(folder, reference) : err.trim();
  if (why) failures.push(`at the end: ${why}`);
  if (lost > SAVE_EVERY) failures.push(`${lost} steps were lost, more than lie between two checkpoints`);
  return {
    tried,
    survived: failures.length > 0 ? survived - failures.length : survived,
    lost,
    failures,
    detail: `${within} of them while a checkpoint was written; ${number + 1} runs, equal to the bit`,
  };
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function killAtWriting(folder, child, which, delay) {
  let seen = 0;
  return watch(folder, (_, file) => {
    if (!file?.endsWith('.safetensors.partial') || ++seen !== which) return;
    // A write takes some milliseconds.
    if (delay === 0) child.kill('SIGKILL');
    else setTimeout(() => child.kill('SIGKILL'), delay);
  });
}
