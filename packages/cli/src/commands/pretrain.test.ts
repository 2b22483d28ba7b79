import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { quoted } from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { planRun } from '../../../node/src/plan.ts';
import { train } from '../../../node/src/train.ts';
import {
  differences,
  imageFolder,
  logged,
  moco,
  printed,
  quietReporter,
  spawnMoco,
  temporaryFolder,
  tiny,
  writeImages,
} from '../testing.ts';

// 20 images in batches of 8: two steps an epoch.
const EPOCHS = '4';
const images = imageFolder(20);
const base = ['pretrain', images, ...tiny, '--epochs', EPOCHS];
const finished = join(temporaryFolder(), 'whole');

/** The loss of each step; of steps that were taken twice, the later one. */
function losses(folder: string): number[] {
  const out: number[] = [];
  for (const { globalStep, loss } of logged(folder, 'step')) out[globalStep as number] = loss as number;
  return out;
}

beforeAll(async () => {
  expect(await moco(...base, '--out', finished)).toMatchObject({ code: 0, err: '' });
});

describe('a run', () => {
  it('logs each step and epoch, and stores its configuration', () => {
    expect(losses(finished)).toHaveLength(8);
    const epochs = logged(finished, 'epoch');
    expect(epochs.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3]);
    const [a, b] = losses(finished) as [number, number];
    expect(epochs[0]!.loss).toBeCloseTo((a + b) / 2, 12);
    const { config, dataset, versions } = JSON.parse(readFileSync(join(finished, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ method: 'moco-v2', mocoT: 0.2, mocoK: 16, seed: 0, cos: true });
    expect(dataset).toMatchObject({ images: 20 });
    expect(versions).toHaveProperty('moco');
    expect(readdirSync(finished).filter((name) => name.startsWith('events.out.tfevents'))).toHaveLength(1);
  });

  it('keeps the last three checkpoints', () => {
    expect(readdirSync(finished).filter((name) => name.endsWith('.safetensors'))).toEqual([
      'checkpoint-0002.safetensors',
      'checkpoint-0003.safetensors',
      'checkpoint-0004.safetensors',
    ]);
  });

  it('is the same for the same seed and another for another', async () => {
    const [again, other] = [join(temporaryFolder(), 'r'), join(temporaryFolder(), 'r')];
    await moco(...base, '--out', again, '--epochs', '1', '--max-steps', '2');
    await moco(...base, '--out', other, '--max-steps', '2', '--seed', '1');
    expect(losses(again)).toEqual(losses(finished).slice(0, 2));
    expect(losses(other)[0]).not.toBe(losses(finished)[0]);
  });

  it('is not begun where another one is', async () => {
    const { code, err } = await moco(...base, '--out', finished);
    expect([code, err]).toEqual([1, expect.stringContaining('holds a run already; go on with --resume')]);
  });

  it('stops at a loss that is no number, with the last checkpoint kept', async () => {
    const folder = join(temporaryFolder(), 'r');
    const { code, err } = await moco(...base, '--no-cos', '--bn', 'split', '--lr', '1e30', '--out', folder);
    expect(code).toBe(1);
    expect(err).toMatch(/moco: the loss is (NaN|Infinity) at epoch \d, step \d .*checkpoint/);
    expect(logged(folder, 'diverged')).toHaveLength(1);
  });
});

describe('a run that goes on', () => {
  it.each([1, 2, 5])(
    'after a stop at step %i has the losses and the state of one that never stopped',
    async (step) => {
      const folder = join(temporaryFolder(), 'r');
      const first = await moco(...base, '--out', folder, '--max-steps', String(step));
      expect(first.out).toContain(`Go on with: moco pretrain --resume ${folder}`);
      expect(losses(folder)).toHaveLength(step);
      const second = await moco('pretrain', '--resume', folder, '--max-steps', '1000');
      expect(second).toMatchObject({ code: 0, err: '' });
      expect(losses(folder)).toEqual(losses(finished));
      const means = (from: string) => logged(from, 'epoch').map(({ loss }) => loss);
      expect(means(folder)).toEqual(means(finished));
      const last = 'checkpoint-0004.safetensors';
      expect(differences(join(folder, last), join(finished, last))).toEqual([]);
    },
  );

  it('goes back to the newest intact checkpoint', async () => {
    const folder = join(temporaryFolder(), 'r');
    cpSync(finished, folder, { recursive: true });
    const newest = join(folder, 'checkpoint-0004.safetensors');
    truncateSync(newest, Math.floor(statSync(newest).size / 2));
    const { code, err } = await moco('pretrain', '--resume', 'auto', '--out', folder);
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/warning: .*checkpoint-0004.*cut off; going back/),
    ]);
    expect(differences(newest, join(finished, 'checkpoint-0004.safetensors'))).toEqual([]);
  });

  it('with auto starts anew where there is nothing', async () => {
    const folder = join(temporaryFolder(), 'r');
    const { code } = await moco(...base, '--out', folder, '--resume', 'auto', '--max-steps', '1');
    expect(code).toBe(0);
    expect(losses(folder)).toEqual(losses(finished).slice(0, 1));
  });

  it('branches off an earlier checkpoint only into another folder', async () => {
    const from = join(finished, 'checkpoint-0003.safetensors');
    const refused = await moco('pretrain', '--resume', from);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('branch off with --out')]);
    const folder = join(temporaryFolder(), 'r');
    expect(await moco('pretrain', '--resume', from, '--out', folder)).toMatchObject({ code: 0 });
    expect(losses(folder).slice(6)).toEqual(losses(finished).slice(6));
  });

  it.each([
    ['--arch', 'resnet18', /has resnet-tiny, but --arch asks for resnet18/],
    ['--moco-dim', '16', /has 8, but --moco-dim asks for 16/],
    ['--moco-k', '32', /has 16, but --moco-k asks for 32/],
  ])('refuses %s %s', async (flag, value, message) => {
    const { code, err } = await moco('pretrain', '--resume', finished, flag, value, '--out', finished);
    expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
    expect(err).toMatch(message);
  });

  it('refuses another batch in mid-epoch', async () => {
    const folder = join(temporaryFolder(), 'r');
    await moco(...base, '--out', folder, '--max-steps', '1');
    const { code, err } = await moco('pretrain', '--resume', folder, '-b', '4');
    expect([code, err]).toEqual([1, expect.stringContaining('keep --batch-size 8')]);
  });
});

it('--max-steps limits the command, not the run', async () => {
  const folder = join(temporaryFolder(), 'r');
  const first = await moco(...base, '--epochs', '2', '--out', folder, '--max-steps', '1');
  expect(first).toMatchObject({
    code: 0,
    out: expect.stringContaining('Go on with: moco pretrain --resume'),
  });
  const second = await moco('pretrain', '--resume', folder);
  expect(second).toMatchObject({ code: 0, err: '', out: expect.stringContaining('checkpoint-0002') });
  expect(losses(folder)).toHaveLength(4);
  const third = await moco('pretrain', '--resume', folder, '--max-steps', '3');
  expect(third).toMatchObject({ code: 1, out: '' });
  expect(third.err).toMatch(/^moco: --max-steps 3 counts the steps of the run, of which 4 are done: .*\n$/);
});

it('prints commands that can be pasted, and tells the run folder once it is there', async () => {
  const folder = join(temporaryFolder(), "anna's runs", 'one');
  const first = await moco(...base, '--epochs', '1', '--out', folder, '--max-steps', '1');
  expect(first.out).toContain(`Run folder: ${folder}\n`);
  expect(first.out).toContain('20 images of');
  expect(first.out).toContain(', 1 epoch, batch 8\n');
  const [, hint] = /Go on with: moco (.*)\n/.exec(first.out)!;
  const args = execFileSync('sh', ['-c', `printf '%s\\n' ${hint}`], { encoding: 'utf8' })
    .trim()
    .split('\n');
  expect(args).toEqual(['pretrain', '--resume', folder]);
  const second = await moco(...args);
  expect(second.code).toBe(0);
  expect(second.out).toContain(quoted(folder));

  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  const refused = await moco(...base, '--out', join(file, 'r'));
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringMatching(/^moco: the folder .*could not be made.*\n$/),
  ]);
  expect(refused.out).not.toContain('Run folder');
});

describe('an interrupt', () => {
  it('ends the step, saves, says how to go on; a kill loses no more than the last checkpoint', async () => {
    const folder = join(temporaryFolder(), 'r');
    const many = ['--epochs', '4000', '--keep', '1'];
    const child = spawnMoco(...base, ...many, '--out', folder);
    await printed(child, 'Epoch 2 [1/2]');
    child.kill('SIGINT');
    expect(await child.ended).toEqual({ code: 130, signal: null });
    expect(child.output()).toContain(`Go on with: moco pretrain --resume ${folder}`);
    const stopped = losses(folder).length;
    expect(readdirSync(folder).filter((name) => /\.safetensors/.test(name))).toHaveLength(1);

    const second = spawnMoco('pretrain', '--resume', folder);
    await printed(second, `Epoch ${Math.floor(stopped / 2) + 3} [1/2]`);
    second.kill('SIGKILL');
    expect((await second.ended).signal).toBe('SIGKILL');

    const steps = 2 * Math.floor(stopped / 2) + 9;
    const third = await moco('pretrain', '--resume', folder, '--max-steps', String(steps));
    expect(third).toMatchObject({ code: 0, err: '' });
    const unbroken = join(temporaryFolder(), 'r');
    await moco(...base, ...many, '--out', unbroken, '--max-steps', String(steps));
    expect(losses(folder).slice(0, steps)).toEqual(losses(unbroken));
  });
});

it.each(['SIGHUP', 'SIGQUIT'] as const)(
  '%s saves as an interrupt does, sent twice or not',
  async (signal) => {
    const folder = join(temporaryFolder(), 'r');
    const child = spawnMoco(...base, '--epochs', '4000', '--keep', '1', '--out', folder);
    await printed(child, 'Epoch 1 [2/2]');
    child.kill(signal);
    if (signal === 'SIGHUP') child.kill(signal);
    expect(await child.ended).toEqual({ code: 130, signal: null });
    expect(child.output()).toContain(`Go on with: moco pretrain --resume ${folder}`);
  },
);

it('a run folder that is removed under way is an error, and is not made again', async () => {
  const folder = join(temporaryFolder(), 'r');
  const child = spawnMoco(...base, '--epochs', '4000', '--out', folder);
  await printed(child, 'Epoch 2 [1/2]');
  rmSync(folder, { recursive: true });
  expect((await child.ended).code).toBe(1);
  const last = child.output().trim().split('\n').at(-1);
  expect(last).toMatch(
    /^moco: .*r could not be written: it, or .*run\.lock, was removed or replaced under way$/,
  );
  expect(existsSync(folder)).toBe(false);
});

it('what another process wrote between plan and lock is not written over', async () => {
  const folder = join(temporaryFolder(), 'r');
  cpSync(finished, folder, { recursive: true });
  const silent = { warn: () => undefined, note: () => undefined };
  const plan = await planRun({ flags: {}, resume: folder }, silent);
  copyFileSync(join(folder, 'checkpoint-0004.safetensors'), join(folder, 'checkpoint-0005.safetensors'));
  const attempt = train({ ...plan, reporter: quietReporter, stop: { requested: false } });
  await expect(attempt).rejects.toThrow('was written by another process meanwhile');
});

describe('an evaluation', () => {
  it('that a kill came before is made when the run goes on', async () => {
    const data = imageFolder(16);
    const folder = join(temporaryFolder(), 'r');
    const args = ['pretrain', data, ...tiny, '--epochs', '2', '--knn-every', '1', '--out', folder];
    expect(await moco(...args, '--max-steps', '2')).toMatchObject({ code: 0, err: '' });
    const log = join(folder, 'log.jsonl');
    const [first] = logged(folder, 'evaluation');
    const withoutFirst = readFileSync(log, 'utf8')
      .split('\n')
      .filter((line) => !line.includes('"evaluation"'));
    writeFileSync(log, withoutFirst.join('\n'));
    expect(await moco('pretrain', '--resume', folder)).toMatchObject({ code: 0 });
    const evaluations = logged(folder, 'evaluation');
    expect(evaluations.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(evaluations[0]).toMatchObject({ editedCopies: first!.editedCopies });
  });

  it('tells kNN accuracy of labelled folders, in training and by moco knn', async () => {
    const data = temporaryFolder();
    for (const split of ['train', 'test'])
      for (const [index, name] of ['a', 'b'].entries()) {
        mkdirSync(join(data, split, name), { recursive: true });
        // The same few images in both splits: each has its copy in the bank.
        writeImages(join(data, split, name), 8, 100 * index);
      }
    const folder = join(temporaryFolder(), 'r');
    const args = ['pretrain', data, ...tiny, '--epochs', '1', '--knn-every', '1', '--out', folder];
    expect(await moco(...args)).toMatchObject({ code: 0, err: '' });
    expect(logged(folder, 'evaluation')).toEqual([expect.objectContaining({ epoch: 1, images: 32 })]);
    const { out } = await moco('knn', folder, '-k', '1', '--baseline');
    expect(out.match(/kNN accuracy +100\.00 %/g)).toHaveLength(2);
    expect(out).toContain('2 classes; always naming the most frequent one is right in 50.00 %\n');
  });

  it('finds the originals of edited copies in folders without labels', async () => {
    const { code, out } = await moco('knn', finished);
    expect(code).toBe(0);
    expect(out).toMatch(/edited copies, R@1 +\d+\.\d\d %/);
  });
});

it('exports a model of a checkpoint', async () => {
  const folder = temporaryFolder();
  const checkpoint = join(folder, 'c.safetensors');
  copyFileSync(join(finished, 'checkpoint-0004.safetensors'), checkpoint);
  for (const flags of [[], ['--with-head'], ['--with-preprocess']]) {
    const { code, out } = await moco('export', checkpoint, '-o', join(folder, 'm.onnx'), ...flags);
    expect(code).toBe(0);
    expect(Number(/within (\S+)\./.exec(out)![1])).toBeLessThan(1e-4);
  }
  expect(readdirSync(folder).sort()).toEqual(['c.safetensors', 'm.md', 'm.onnx']);
});

it('goes on unheard when its reader goes away', async () => {
  const folder = join(temporaryFolder(), 'r');
  const child = spawnMoco(...base, '--epochs', '1', '--out', folder);
  await printed(child, 'Run folder');
  child.stdout!.destroy();
  expect(await child.ended).toMatchObject({ code: 0 });
  expect(readdirSync(folder)).toContain('checkpoint-0001.safetensors');
});
