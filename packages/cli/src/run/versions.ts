import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, platform, totalmem } from 'node:os';

/** The version of this package. */
export const version: string = (
  createRequire(import.meta.url)('../../package.json') as { readonly version: string }
).version;

/** The commit of the folder that the command runs in, with `-dirty` for changed files; undefined without git. */
export function currentCommit(): string | undefined {
  try {
    const args = ['describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'];
    const text = execFileSync('git', args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 5000,
    });
    return text.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** What a run's record tells of where it ran. */
export function describeMachine() {
  return {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
  };
}
