// SIGINT in mid-step: the step ends and is saved.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { rng } from '../../packages/core/dist/index.js';
import { checkpoints, flags, losses, sleep, start, stepOf, unlike, untilStep } from './lib.mjs';

export const name = 'interrupted runs (SIGINT)';

export async function run({ work, data, reference, quick, seed }) {
  const random = rng(seed, 'faults/interrupts');
  const failures = [];
  const count = quick ? 2 : 20;
  let tried = 0;
  for (let number = 0; tried < count; number++) {
    const folder = join(work, `interrupts-${number}`);
    mkdirSync(folder, { recursive: true });
    for (let ended = false; !ended; ) {
      const run = start(flags(data, folder, ['--resume', 'auto']));
      if (tried < count)
        void untilStep(run, 1 + random.integer(4))
          .then(() => sleep(random.integer(50)))
          .then(() => run.child.kill('SIGINT'));
      const { code, err } = await run.ended;
      ended = code !== 130;
      if (!ended) {
        tried++;
        const [done, saved] = [losses(folder).length, stepOf(checkpoints(folder).at(-1))];
        if (done !== saved) failures.push(`interrupt ${tried}: ${done} steps were made, ${saved} saved`);
      } else if (code !== 0) failures.push(`run ${number}: ${err.trim()}`);
    }
    const why = unlike(folder, reference);
    if (why) failures.push(`run ${number}: ${why}`);
  }
  return {
    tried,
    survived: tried - failures.length,
    lost: 0,
    failures,
    detail: 'each saved by the step that was under way; the runs equal to the bit',
  };
}
