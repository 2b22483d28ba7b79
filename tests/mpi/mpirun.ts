/** Programs under a launcher of MPI, for tests: what they printed, how they ended, and whether anything of them is left. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** The launchers to test with, by name or path: `mpirun.openmpi,mpirun.mpich`. */
export const launchers = (process.env.MOCO_MPI ?? '').split(',').filter(Boolean);

export interface Job {
  /** The launcher's process, which leads a process group, as of a shell's job. */
  readonly pid: number;
  /** The next line on stdout that is JSON; undefined after the last. */
  line(): Promise<Record<string, unknown> | undefined>;
  /** How the launcher ended, and what was printed. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string; err: string }>;
  /** The processes of the job that live: the launcher, its helpers, ranks. */
  processes(): number[];
  /** The processes of the ranks. */
  ranks(): number[];
}

/** Open MPI refuses root, and more ranks than cores, unless it is told. */
const OPEN_MPI = {
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  OMPI_MCA_rmaps_base_oversubscribe: '1',
};

/** @param args of Node */
export function mpirun(
  launcher: string,
  ranks: number,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Job {
  const job = randomUUID();
  const child = spawn(launcher, ['-n', String(ranks), process.execPath, ...args], {
    env: { ...process.env, ...OPEN_MPI, ...env, MOCO_TEST_JOB: job },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid!,
    async line() {
      for (;;) {
        const { done, value } = await lines.next();
        if (done) return undefined;
        if (value.startsWith('{')) return JSON.parse(value);
      }
    },
    ended: new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => resolve({ code, signal, out, err }));
    }),
    processes: () => processesOf(job),
    ranks: () => processesOf(job).filter(isNode),
  };
}

/** Resolves once nothing of a job is left. */
export async function nothingLeft(job: Job): Promise<void> {
  while (job.processes().length > 0) await sleep(50);
}

/** Processes that inherited the name of a job. */
function processesOf(job: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter(
      (pid) => pid > 0 && ofProcess(pid, () => readFileSync(`/proc/${pid}/environ`, 'latin1').includes(job)),
    );
}

const isNode = (pid: number) => ofProcess(pid, () => readlinkSync(`/proc/${pid}/exe`) === process.execPath);

/** What is so of a process; not so of one that has ended meanwhile. */
function ofProcess(pid: number, holds: () => boolean): boolean {
  try {
    return pid !== process.pid && holds();
  } catch {
    return false;
  }
}
