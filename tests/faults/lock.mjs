// Two processes in one run folder; and a lock that a dead process left.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { finish, flags, sleep, start, unclear, unlike } from './lib.mjs';

export const name = 'second processes in a run folder';

export async function run({ work, data, reference }) {
  const folder = join(work, 'lock');
  const failures = [];
  const first = start(flags(data, folder));
  // Its name is in it a moment after the file is there.
  while (!existsSync(join(folder, 'run.lock')) || readFileSync(join(folder, 'run.lock'), 'utf8') === '')
    await sleep(5);
  // It holds its lock until the others have asked.
  first.child.kill('SIGSTOP');
  let tried = 0;
  for (const more of [[], ['--resume', 'auto']]) {
    tried++;
    const second = await finish(flags(data, folder, more));
    const named =
      second.err.includes(`process ${first.child.pid}`) || second.err.includes('holds a run already');
    const why =
      unclear(second) ?? (second.code === 1 && named ? undefined : `not refused: ${second.err.trim()}`);
    if (why) failures.push(why);
  }
  first.child.kill('SIGCONT');
  const { code, err } = await first.ended;
  const why = code === 0 ? unlike(folder, reference) : err.trim();
  if (why) failures.push(`the first: ${why}`);
  if (existsSync(join(folder, 'run.lock'))) failures.push('the lock was not given back');
  tried++;
  writeFileSync(
    join(folder, 'run.lock'),
    JSON.stringify({ pid: first.child.pid, host: hostname(), since: 'before', command: 'moco' }),
  );
  const third = await finish(flags(data, folder, ['--resume', 'auto']));
  if (third.code !== 0 || !third.out.includes('is taken over'))
    failures.push(`a stale lock: ${third.err || third.out}`);
  return {
    tried,
    survived: tried - failures.length,
    lost: 0,
    failures,
    detail: 'refused with the holder named, the first unharmed; the stale lock taken over',
  };
}
