/** Runs that go by a clock of the test's: what they log, how they end, go on and are repeated. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunFlags } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { decodeCheckpoint } from '../../run/src/checkpoint.ts';
import { planRun } from './plan.ts';
import type { Reporter } from './reporter.ts';
import { train } from './train.ts';

// 20 images in batches of 8: two steps an epoch.
const images = imageFolder(20);
const recipe: RunFlags = {
  ...{ data: images, method: 'moco-v2', arch: 'resnet-micro', imageSize: 16, batchSize: 8, bnSplits: 2 },
  ...{ mocoK: 16, mocoDim: 8, workers: 0, threads: 1, printFreq: 3, lr: 0.1, warmupEpochs: 20 },
};
const nothing = () => undefined;
const root = temporaryFolder();
const at = (name: string) => join(root, name);

/** A run whose clock goes on by so many seconds with each reading. */
async function run(
  out: string,
  flags: RunFlags,
  tick: number,
  more: { resume?: string; reserve?: number } = {},
) {
  const { resume, reserve = 0 } = more;
  const plan = await planRun(
    { flags: resume === undefined ? { ...recipe, ...flags } : flags, out, resume },
    { warn: nothing, note: nothing },
  );
  let now = 0;
  const clock = () => {
    now += 1000 * tick;
    return now;
  };
  const warnings: string[] = [];
  const reporter: Reporter = {
    ...{ step: nothing, epoch: nothing, note: nothing, close: nothing },
    warn: (text) => warnings.push(String(text)),
  };
  const timing = { clock, began: 0, reserve };
  const result = await train({ ...plan, reporter, stop: { requested: false }, timing });
  return { ...result, warnings, seconds: now / 1000 };
}

/** The progress of each step. */
function progressIn(folder: string): number[] {
  const lines = readFileSync(join(folder, 'log.jsonl'), 'utf8').trim().split('\n');
  const values: number[] = [];
  for (const line of lines) {
    const { event, globalStep, progress } = JSON.parse(line);
    if (event === 'resume') values.length = globalStep;
    if (progress !== undefined) values[globalStep] = progress;
  }
  return values;
}

const infoOf = (path: string) => decodeCheckpoint(readFileSync(path), path).info;
const first = await run(at('first'), { time: 100, measureEvery: 50 }, 0.5);

describe('a run with a time', () => {
  it('ends within it in mid-epoch, with a checkpoint and an evaluation', async () => {
    expect(first.outcome).toBe('done');
    const { epoch, step, globalStep, time, config } = infoOf(first.checkpoint);
    expect(2 * epoch + step).toBe(globalStep);
    expect(config).toMatchObject({ time: 100, epochs: 200, openEnded: true });
    expect(time!.progress).toBe(1);
    expect(time!.spent).toBeGreaterThan(95);
    expect(time!.spent).toBeLessThan(105);
    // What follows it reads the clock a few times more.
    expect(first.seconds).toBeLessThan(110);
    expect(first.measures).toBeDefined();
    const [evaluation] = logged(at('first'), 'evaluation').slice(-1);
    expect(evaluation!.epoch).toBe(epoch + step / 2);
  });

  it('logs the progress of each step, and its learning rate follows', () => {
    const progress = progressIn(at('first'));
    const { globalStep } = infoOf(first.checkpoint);
    expect(progress).toHaveLength(globalStep);
    expect(progress[0]).toBe(0);
    expect(progress.every((value, i) => i === 0 || value > progress[i - 1]!)).toBe(true);
    expect(progress.at(-1)).toBeGreaterThan(0.9);
    expect(progress.at(-1)).toBeLessThan(1);
    const steps = logged(at('first'), 'step');
    expect(steps.length).toBeLessThan(globalStep);
    for (const { progress: share, lr } of steps as { progress: number; lr: number }[])
      expect(lr).toBeCloseTo(
        share < 0.1 ? share : 0.05 * (1 + Math.cos((Math.PI * (share - 0.1)) / 0.9)),
        12,
      );
  });

  it('is repeated to the bit by its log, at another speed', async () => {
    const again = await run(at('again'), { progressFrom: at('first'), measureEvery: 50 }, 7);
    expect(again.outcome).toBe('done');
    expect(progressIn(at('again'))).toEqual(progressIn(at('first')));
    const losses = (name: string) => logged(at(name), 'epoch').map(({ loss }) => loss);
    expect(losses('again')).toEqual(losses('first'));
    expect(differences(again.checkpoint, first.checkpoint)).toEqual([]);
    expect(infoOf(again.checkpoint).globalStep).toBe(infoOf(first.checkpoint).globalStep);
  });

  it('goes on with what is left of it, without a jump, and can be repeated as a whole', async () => {
    const stopped = await run(at('resumed'), { time: 100, maxSteps: 5 }, 0.5);
    expect(stopped.outcome).toBe('stopped');
    const { time } = infoOf(stopped.checkpoint);
    expect(time!.progress).toBeLessThan(0.5);
    const rest = await run(at('resumed'), {}, 0.25, { resume: at('resumed') });
    expect(rest.outcome).toBe('done');
    expect(time!.spent + rest.seconds).toBeGreaterThan(95);
    expect(time!.spent + rest.seconds).toBeLessThan(105);
    const progress = progressIn(at('resumed'));
    const rises = progress.slice(1).map((value, i) => value - progress[i]!);
    expect(progress[5]).toBe(time!.progress);
    expect(rises[4]).toBeLessThan(2 * Math.max(...rises.slice(0, 4)));
    const log = join(at('resumed'), 'log.jsonl');
    const again = await run(at('resumed-again'), { progressFrom: log }, 1);
    expect(differences(again.checkpoint, rest.checkpoint)).toEqual([]);
    // In two parts too.
    await run(at('parts'), { progressFrom: log, maxSteps: 3 }, 1);
    const parts = await run(at('parts'), {}, 1, { resume: at('parts') });
    expect(differences(parts.checkpoint, rest.checkpoint)).toEqual([]);
  });

  it('is repeated without the steps of a run that was killed before its first checkpoint, in the same folder', async () => {
    const log = at('twice.jsonl');
    const step = (globalStep: number, progress: number) => ({ event: 'progress', globalStep, progress });
    const start = { event: 'start', epoch: 0, step: 0, globalStep: 0 };
    const lines = [start, step(0, 0), step(1, 0.3), step(2, 0.4), start, step(0, 0), step(1, 0.6)];
    writeFileSync(log, lines.map((line) => JSON.stringify(line)).join('\n'));
    await run(at('twice'), { progressFrom: log, warmupEpochs: 0 }, 1);
    expect(progressIn(at('twice'))).toEqual([0, 0.6]);
  });

  it('is measured once in each share of it, wherever it was stopped', async () => {
    const folder = at('shares');
    await run(folder, { time: 100, measureEvery: 0.1, maxSteps: 4 }, 0.15);
    for (const maxSteps of [7, 10]) await run(folder, { maxSteps }, 0.15, { resume: folder });
    await run(folder, {}, 0.15, { resume: folder });
    const ends = [{ epoch: -1, done: 0 }, ...logged(folder, 'epoch')] as { epoch: number; done: number }[];
    const shares = ends.map(({ done }) => Math.floor(10 * done + 1e-9));
    const due = ends.flatMap(({ epoch }, i) => (shares[i]! > (shares[i - 1] ?? 0) ? [epoch + 1] : []));
    const measured = logged(folder, 'evaluation').map(({ epoch }) => Number(epoch));
    // Near its end there may be no time for one.
    const last = 1 + Math.max(...ends.filter(({ done }) => done < 0.8).map(({ epoch }) => epoch));
    const before = (epoch: number) => epoch <= last;
    expect(measured.filter(before)).toEqual(due.filter(before));
    expect(last).toBeGreaterThan(5);
  });

  it('that is over goes on with more time only', async () => {
    const { globalStep } = infoOf(first.checkpoint);
    expect((await moco('info', at('first'))).out).not.toContain('pretrain --resume');
    const over = await run(at('first'), {}, 0.5, { resume: at('first') });
    expect([over.outcome, over.checkpoint]).toEqual(['done', first.checkpoint]);
    expect(over.measures).toEqual(first.measures);
    const spent = 'the time of this run is spent; to go on, give it more than time 1m40s';
    expect(over.warnings).toEqual([spent]);
    const more = await run(at('first'), { time: 200 }, 0.5, { resume: at('first') });
    const progress = progressIn(at('first'));
    expect(progress[globalStep]).toBeCloseTo(0.5, 1);
    expect(progress.length).toBe(infoOf(more.checkpoint).globalStep);
    expect(progress.at(-1)).toBeGreaterThan(0.95);
    expect(more.warnings).not.toContain(spent);
  });

  it('keeps a reserve free', async () => {
    const { seconds } = await run(at('reserve'), { time: 100 }, 0.25, { reserve: 50 });
    expect(seconds).toBeGreaterThan(45);
    expect(seconds).toBeLessThan(55);
  });

  it('ends with the epochs that are named, if they end first', async () => {
    const { checkpoint } = await run(at('epochs'), { time: 1000, epochs: 2, warmupEpochs: 0 }, 0.5);
    expect(infoOf(checkpoint)).toMatchObject({ epoch: 2, step: 0 });
    expect(progressIn(at('epochs'))).toEqual([0, 0.25, 0.5, 0.75]);
  });

  it('that runs out before the first step says so, and writes nothing', async () => {
    const short = run(at('short'), { time: 2 }, 3);
    await expect(short).rejects.toThrow(
      /^time 2s is over before the first step: preparing took \d+\.0 s; give more$/,
    );
    await expect(short).rejects.toMatchObject({ setting: 'time' });
    const reserved = run(at('short'), { time: 20 }, 0.5, { reserve: 20 });
    await expect(reserved).rejects.toThrow('20s are kept for what follows the training, and preparing');
  });
});

describe('the command', () => {
  const flags = [...tiny, '-a', 'resnet-micro', '--image-size', '16'];

  it('tells the time of a run: while it goes, in its info and its report', async () => {
    const folder = at('command');
    const begun = await moco(
      'pretrain',
      images,
      ...flags,
      '--time',
      '1h',
      '--max-steps',
      '3',
      '--out',
      folder,
    );
    expect(begun).toMatchObject({ code: 0, err: '' });
    expect(begun.out).toContain(`20 images of ${images}, 1h, batch 8`);
    expect(begun.out).toMatch(/^Epoch 1 done, \d+:\d\d of 1:00:00 {2}Loss/m);
    const info = await moco('info', folder);
    expect(info.out).toMatch(/^ {2}epochs {4}1, 3 steps$/m);
    expect(info.out).toMatch(/^ {2}time {6}\d+:\d\d of 1:00:00$/m);
    expect(info.out).toContain('--time 1h');
    expect(info.out).not.toContain('openEnded');
    expect(info.out).toContain(`moco pretrain --resume ${folder}`);
    expect(JSON.parse((await moco('info', folder, '--json')).out)).toMatchObject({
      epoch: 1,
      time: { total: 3600, spent: expect.any(Number) },
    });
    expect(await moco('export', folder, '-o', at('model.onnx'))).toMatchObject({ code: 0 });
    // One epoch, and 8 of 20 images.
    expect(readFileSync(at('model.md'), 'utf8')).toContain('\n1.4 epochs, mean loss');
    const page = at('report.html');
    expect(await moco('report', folder, '-o', page)).toMatchObject({ code: 0 });
    expect(readFileSync(page, 'utf8')).toMatch(/<b>\d+:\d\d of 1:00:00<\/b>time/);
  });

  it.each([
    [['--time', '30'], "moco: option '--time <duration>' argument '30' is invalid. Give a time from 1s on"],
    [['--time', '1h', '--progress-from', 'a'], 'moco: --time and --progress-from exclude each other'],
    [['--progress-from', at('nowhere')], `moco: ${at('nowhere')} could not be read`],
  ])('refuses %o in one line', async (more, message) => {
    const { code, err } = await moco('pretrain', images, ...flags, ...more, '--out', at('refused'));
    expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
    expect(err).toContain(message);
  });

  it.each([
    ['of a run without a time', { event: 'step', globalStep: 0, loss: 1 }, 0],
    ['that lacks a step', { event: 'progress', globalStep: 1, progress: 0.5 }, 0],
    ['of anyone', { event: 'progress', globalStep: 1e15, progress: 0.5 }, 0],
    ['with a progress that is none', { event: 'progress', globalStep: 0, progress: 1e308 }, 0],
  ])('repeats no log %s', async (_, line, step) => {
    const log = at('strange.jsonl');
    writeFileSync(log, `${JSON.stringify(line)}\nnull\n{"half`);
    const { code, err } = await moco('pretrain', images, ...flags, '--progress-from', log, '--out', at('no'));
    expect([code, err]).toEqual([
      1,
      `moco: ${log} does not tell how far the training was at step ${step}: --progress-from takes the log of a run with --time\n`,
    ]);
  });
});
