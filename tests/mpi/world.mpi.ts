/** Ranks under each launcher: every call, and every way to end. */
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { launchers, mpirun, nothingLeft } from './mpirun.ts';

const program = fileURLToPath(new URL('rank.mjs', import.meta.url));

/** What all ranks printed. */
const seenBy = ({ out }: { out: string }) =>
  out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .sort((a, b) => a.rank - b.rank);

describe.each(launchers)('%s', (launcher) => {
  const ranks = (count: number, name: string, env = {}) => mpirun(launcher, count, [program, name], env);

  it.each([2, 3])('joins %i ranks, and every call gives what it should', async (count) => {
    const ended = await ranks(count, 'calls').ended;
    expect(ended).toMatchObject({ code: 0, err: '' });
    expect(seenBy(ended)).toEqual(
      Array.from({ length: count }, (_, rank) => ({
        rank,
        size: count,
        local: { rank, size: count },
        threads: expect.any(Number),
        library: expect.stringMatching(/^(Open MPI v|MPICH )\d+\.\d+\.\d+$/),
      })),
    );
  });

  it('leaves WebAssembly its signal', async () => {
    expect(seenBy(await ranks(2, 'webassembly').ended)).toEqual([{ rank: 0 }, { rank: 1 }]);
  });

  it('ends all ranks where one fails, while it waits in a call itself, with its line and its code', async () => {
    const job = ranks(3, 'fails');
    const { code, err } = await job.ended;
    expect(err).toContain('rank 1 of 3: out of paper\n');
    expect(code).toBe(3);
    await nothingLeft(job);
  });

  it.each(['throws', 'exits'])('ends all ranks, with a failure, where one %s', async (name) => {
    const job = ranks(2, name);
    const { code } = await job.ended;
    // A number of which launchers make their own: where ranks end in different ways, MPICH gives the first that it hears of.
    expect(code).not.toBe(0);
    await nothingLeft(job);
  });

  it('ends all ranks, with a failure, where one is killed', async () => {
    const job = ranks(3, 'forever');
    await job.line();
    process.kill(job.ranks()[1]!, 'SIGKILL');
    expect((await job.ended).code).not.toBe(0);
    await nothingLeft(job);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('lets ranks agree to stop at %s, and save', async (signal) => {
    const job = ranks(2, 'stops');
    await job.line();
    // As a terminal does at Ctrl-C: to the whole group.
    process.kill(-job.pid, signal);
    expect(await job.line()).toEqual({ saved: true });
    await job.ended;
    await nothingLeft(job);
  });

  it('says in one line that a library is not there', async () => {
    const { code, err } = await ranks(2, 'calls', { MPI_LIBRARY: '/nowhere/libmpi.so' }).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(
      /^moco: mpirun started this process, but its library does not load \(.*nowhere.*\): install it, or give its path in MPI_LIBRARY$/m,
    );
  });

  it("says in one line that a library is another launcher's", async () => {
    const other = /openmpi/.test(launcher) ? 'libmpich.so.12' : 'libmpi.so.40';
    const { code, err } = await ranks(2, 'calls', { MPI_LIBRARY: other }).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(
      /^moco: (Open MPI|MPICH)'s mpirun started 2 processes, but (MPICH|Open MPI v)[ \d.]+ finds 1: give the path of the launcher's own library in MPI_LIBRARY$/m,
    );
  });

  it('says in one line that a library is no MPI', async () => {
    const { code, err } = await ranks(2, 'calls', { MPI_LIBRARY: 'libm.so.6' }).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(/^moco: libm\.so\.6 is no library of MPI that is known here/m);
  });
});
