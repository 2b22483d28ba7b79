/** Trainings that processes share: the losses of one process, one voice, and checkpoints that any number of them goes on from. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeSafetensors } from '../../packages/core/src/index.ts';
import { launchers, mpirun, nothingLeft } from './mpirun.ts';

const bin = fileURLToPath(new URL('../../packages/cli/dist/bin.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'moco-mpi-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const recipe = (steps: number, out: string, bn = 'sync') => [
  ...[
    'emoji',
    '--method',
    'moco-v2',
    '-a',
    'resnet-micro',
    '--image-size',
    '16',
    '-b',
    '16',
    '--moco-k',
    '64',
  ],
  ...['--bn', bn, '--max-steps', String(steps), '--save-every-steps', '2', '-p', '1', '-j', '0', '--json'],
  ...['--log', 'tensorboard', '--out', join(folder, out)],
];
const pretrain = (...args: string[]) => [bin, 'pretrain', ...args];

interface Line {
  readonly event?: string;
  readonly globalStep?: number;
  readonly loss?: number;
}

const linesOf = (out: string): Line[] =>
  out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
const lossesOf = (out: string) =>
  linesOf(out).flatMap(({ event, loss }) => (event === 'step' ? [loss!] : []));
const alone = async (...args: string[]) =>
  promisify(execFile)(process.execPath, pretrain(...args), { encoding: 'utf8' });
/** The tensors of a run's second step. The metadata before them name the run's folder. */
const weightsOf = (out: string) => {
  const path = join(folder, out, 'checkpoint-0000-00002.safetensors');
  return decodeSafetensors(readFileSync(path), path).tensors;
};

/** The steps of a run's newest checkpoint within its first epoch. */
const stepsSaved = (run: string) => {
  const files = existsSync(run) ? readdirSync(run) : [];
  return Math.max(
    0,
    ...files.map((file) => Number(/^checkpoint-0000-(\d+)\.safetensors$/.exec(file)?.[1] ?? 0)),
  );
};

let whole: number[];
beforeAll(async () => {
  whole = lossesOf((await alone(...recipe(6, 'whole'))).stdout);
  expect(whole).toHaveLength(6);
});

/** Six steps of float32, whose sums are of other parts: PyTorch's own drifts as far from its float64. */
const expectSame = (losses: readonly number[], expected: readonly number[]) => {
  expect(losses).toHaveLength(expected.length);
  for (const [i, loss] of losses.entries()) expect(loss).toBeCloseTo(expected[i]!, 3);
};

const started = (launcher: string, count: number, ...args: string[]) =>
  mpirun(launcher, count, pretrain(...args));
const [first = ''] = launchers;
const others = ['tfjs:wasm', ...(process.env.MOCO_XLA ? [`xla:${process.env.MOCO_XLA}`] : [])];

describe.each([
  ...launchers.map((launcher) => [launcher, 'ort'] as const),
  ...others.map((backend) => [first, backend] as const),
])('%s on %s', (launcher, backend) => {
  const name = `${launcher}-${backend}`.replace(/\W/g, '');

  it('trains as one process does, speaks once, and one goes on', async () => {
    const ended = await started(launcher, 2, ...recipe(4, name), '--backend', backend).ended;
    expect(ended.err.split('\n').filter((line) => line.includes('"error"'))).toEqual([]);
    expect(ended.code).toBe(0);
    expectSame(lossesOf(ended.out), whole.slice(0, 4));
    expect(linesOf(ended.out).filter((line) => 'outcome' in line)).toHaveLength(1);
    const config = JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ replicas: 2, config: { batchSize: 16 } });
    const more = await alone('--resume', join(folder, name), '--max-steps', '6', '--json', '-p', '1');
    expect(more.stderr).toContain('1 replica of 16 images share');
    expectSame(lossesOf(more.stdout), whole.slice(4));
  });
});

// Slurm's PMIx tells a process its rank and not how many there are.
it.runIf(launchers.includes('mpirun.mpich'))(
  'a process that finds itself alone ends as it ended',
  async () => {
    const env = { ...process.env, PMIX_RANK: '0', MPI_LIBRARY: 'libmpich.so.12' };
    const { stdout } = await promisify(execFile)(process.execPath, pretrain(...recipe(2, 'found-alone')), {
      env,
    });
    expect(lossesOf(stdout)).toEqual(whole.slice(0, 2));
  },
);

it.each(launchers)(
  '%s: a process that is killed leaves a checkpoint, and no other process; one goes on',
  async (launcher) => {
    const name = `${launcher}-killed`.replace(/\W/g, '');
    const args = [...recipe(1000, name), '-b', '8', '--resume', 'auto'];
    const job = started(launcher, 2, ...args.filter((flag) => flag !== '--json'));
    const steps = () => stepsSaved(join(folder, name));
    while (steps() < 4 && job.processes().length > 0) await sleep(20);
    process.kill(job.ranks()[1]!, 'SIGKILL');
    const killed = await job.ended;
    expect(killed.code).not.toBe(0);
    expect(killed.out).toContain('2 replicas of 4 images share each batch');
    await nothingLeft(job);
    const step = steps();
    const { stdout } = await alone(...args, '--max-steps', String(step + 2));
    const losses = lossesOf(stdout);
    expect(losses).toHaveLength(2);
    expect(losses.every(Number.isFinite)).toBe(true);
    const taken = linesOf(stdout).filter(({ event }) => event === 'step');
    expect(taken.map(({ globalStep }) => globalStep)).toEqual([step + 1, step + 2]);
  },
);

it('shuffles keys across processes, to the bit from run to run', async () => {
  for (const out of ['a', 'b'])
    expect(await started(first, 2, ...recipe(2, out, 'shuffle')).ended).toMatchObject({ code: 0 });
  const [a, b] = ['a', 'b'].map((out) => weightsOf(out));
  expect(a).toEqual(b);
});

it('says once what all processes refuse', async () => {
  const { code, err } = await started(first, 2, ...recipe(2, 'odd'), '--moco-k', '63').ended;
  const errors = err.split('\n').filter((line) => line.startsWith('{') && line.includes('"error"'));
  expect(errors.map((line) => JSON.parse(line))).toMatchObject([{ setting: 'mocoK', rank: 0 }]);
  expect(code).not.toBe(0);
});

it('has one process where a command is for one', async () => {
  const { code, err } = await mpirun(first, 2, [bin, 'knn', 'photos']).ended;
  expect(err.split('\n').filter((line) => line.startsWith('moco: '))).toEqual([
    'moco: moco knn is one process: start it without mpirun, which shares a training by mpirun -n N moco pretrain ...',
  ]);
  expect(code).toBe(1);
});
