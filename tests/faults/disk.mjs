// A full disk, and a folder that can't be written to any more.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkpoints, finish, flags, losses, sleep, start, stepOf, unclear, unlike } from './lib.mjs';

export const name = 'full disks and folders without permission';
/** Any user without rights. */
const NOBODY = 65534;

export async function run(given) {
  if (process.platform !== 'linux' || process.getuid() !== 0)
    return { notRun: 'needs Linux and root, to mount a small disk' };
  const failures = [];
  const full = await fullDisks(given, failures);
  const closed = await closedFolders(given, failures);
  const tried = full.tried + closed.tried;
  return {
    tried,
    survived: tried - failures.length,
    lost: Math.max(full.lost, closed.lost),
    failures,
    detail: `${full.tried} disks of 3 to 60 MB, ${closed.tried} folders; one clear line each, then resumed, equal to the bit`,
  };
}

async function fullDisks({ work, data, reference, quick }, failures) {
  const sizes = quick ? [3, 34] : [3, 8, 13, 18, 23, 28, 34, 40, 46, 53, 60];
  let lost = 0;
  for (const megabytes of sizes) {
    const disk = join(work, `disk-${megabytes}`);
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      // Containers may forbid it, root or not.
      console.log(`disk: no disk could be mounted here: ${error.message.split('\n')[0]}`);
      return { tried: 0, lost };
    }
    try {
      const folder = join(disk, 'run');
      const ended = await finish(flags(data, folder));
      if (ended.code !== 0) {
        const why =
          unclear(ended) ??
          (/no space/.test(ended.err) ? undefined : `no word of space: ${ended.err.trim()}`);
        if (why) failures.push(`${megabytes} MB: ${why}`);
        lost = Math.max(lost, losses(folder).length - stepOf(checkpoints(folder).at(-1)));
      }
      execFileSync('mount', ['-o', 'remount,size=200m', disk]);
      const { code, err } = await finish(flags(data, folder, ['--resume', 'auto']));
      const why = code === 0 ? unlike(folder, reference) : err.trim();
      if (why) failures.push(`${megabytes} MB, resumed: ${why}`);
    } finally {
      execFileSync('umount', [disk]);
    }
  }
  return { tried: sizes.length, lost };
}

/** By a process without rights: root may write anywhere. */
async function closedFolders({ data, reference, quick }, failures) {
  const moments = quick ? [5] : [0, 3, 7, 11];
  let lost = 0;
  const readable = await startAsNobody(['--version'], tmpdir()).ended.catch(() => ({ code: 1 }));
  if (readable.code !== 0) {
    console.log('disk: a user without rights may not read this folder: no folder was closed');
    return { tried: 0, lost };
  }
  for (const steps of moments) {
    const place = join(tmpdir(), `moco-faults-${process.pid}-${steps}`);
    mkdirSync(place);
    try {
      const shared = join(place, 'data');
      cpSync(data, shared, { recursive: true });
      const folder = join(place, 'run');
      mkdirSync(folder);
      if (steps === 0) chmodSync(folder, 0o555);
      else chownSync(folder, NOBODY, NOBODY);
      const { ended } = startAsNobody(flags(shared, folder), place);
      while (steps > 0 && losses(folder).length < steps) {
        if (await Promise.race([ended.then(() => true), sleep(5)])) break;
      }
      chmodSync(folder, 0o555);
      const result = await ended;
      const why =
        (result.code === 0 ? 'it went on' : unclear(result)) ??
        (/no permission/.test(result.err) ? undefined : `no word of permission: ${result.err.trim()}`);
      if (why) failures.push(`folder closed after ${steps} steps: ${why}`);
      lost = Math.max(lost, losses(folder).length - stepOf(checkpoints(folder).at(-1)));
      chmodSync(folder, 0o755);
      chownSync(folder, NOBODY, NOBODY);
      const { code, err } = await startAsNobody(flags(shared, folder, ['--resume', 'auto']), place).ended;
      const differs = code === 0 ? unlike(folder, reference) : err.trim();
      if (differs) failures.push(`folder closed after ${steps} steps, resumed: ${differs}`);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  }
  return { tried: moments.length, lost };
}

function startAsNobody(args, home) {
  return start(args, { uid: NOBODY, gid: NOBODY, env: { ...process.env, HOME: home } });
}
