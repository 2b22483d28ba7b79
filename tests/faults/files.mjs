// Damaged files of every format that is read, as scripts/fuzz.mjs makes them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

export const name = 'damaged files of all formats';

export async function run({ work, quick, seed }) {
  const count = quick ? 500 : 10_000;
  const script = join(import.meta.dirname, '..', '..', 'scripts', 'fuzz.mjs');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [script, '--count', String(count), '--seed', String(seed)],
    {
      cwd: work,
      encoding: 'utf8',
    },
  );
  const files = [...stdout.matchAll(/(\d+) files:/g)].reduce((sum, [, number]) => sum + Number(number), 0);
  const failures = status === 0 ? [] : stderr.trim().split('\n');
  const read = [...stdout.matchAll(/files: (\d+) read/g)].reduce(
    (sum, [, number]) => sum + Number(number),
    0,
  );
  return {
    tried: files,
    survived: files - failures.length,
    files,
    lost: 0,
    failures,
    detail: `${read} read to a right answer, the rest refused in one line`,
  };
}
