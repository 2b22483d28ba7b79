import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { encoderNamed, prefixed, rng, tensor } from '@moco-ts/core';
import { encodeTorch } from '@moco-ts/exchange';
import { checkpointFile, registerPlugins } from '@moco-ts/node';
import { type CheckpointInfo, type RunFlags, resolveConfig } from '@moco-ts/run';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

vi.mock('node:fs/promises', { spy: true });

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(12);
const run = at('run');
const json = async (path: string) =>
  JSON.parse((await moco('info', path, '--json')).out) as Readonly<Record<string, unknown>>;

/** A checkpoint as a run of these flags saves it, but for its weights. */
function writeCheckpoint(
  path: string,
  flags: RunFlags & { readonly data: string },
  more: Partial<CheckpointInfo> = {},
) {
  const config = resolveConfig(flags, { source: { data: flags.data, split: 'train' } });
  const position = { epoch: 1, step: 0, globalStep: 5, images: 40, losses: [2] };
  const tensors = { 'q.conv1.weight': tensor([1], [1]) };
  writeFileSync(path, Buffer.concat(checkpointFile({ ...position, config, ...more }, tensors)));
}

beforeAll(async () => {
  const flags = [...tiny, '--epochs', '3', '--knn-every', '1', '--out', run];
  expect(await moco('pretrain', images, ...flags, '--max-steps', '2')).toMatchObject({ code: 0 });
});

describe('moco info', () => {
  it('tells how far a run is, what is unusual about it, and how to go on', async () => {
    const { code, out } = await moco('info', run);
    expect(code).toBe(0);
    const measured = logged(run, 'evaluation').map(({ editedCopies }) => Number(editedCopies));
    const losses = logged(run, 'step').map(({ loss }) => Number(loss));
    expect(await json(run)).toMatchObject({
      kind: 'run',
      ...{ method: 'moco-v2', arch: 'resnet-tiny', imageSize: 16, data: images, images: 12 },
      ...{ epoch: 2, epochs: 3, globalStep: 2, loss: losses.at(-1) },
      best: { editedCopies: Math.max(...measured) },
      // What `tiny` and the flags above say, less what is no part of a recipe.
      settings: { batchSize: 8, bnSplits: 2, mocoK: 16, mocoDim: 8, lr: 0.01, epochs: 3, measureEvery: 1 },
      next: [
        `moco pretrain --resume ${run}`,
        `moco knn ${run} ${images}`,
        `moco lincls ${run} labelled/`,
        `moco export ${run} -o model.onnx`,
      ],
    });
    expect(out).toContain('  encoder   resnet-tiny at 16 px, moco-v2\n');
    expect(out).toContain('  epochs    2 of 3, 2 steps\n');
    expect(out).toMatch(/--moco-k 16/);
    expect(out).not.toMatch(/--threads|--workers/);
    for (const line of out.split('\n'))
      if (!line.includes(folder)) expect(line.length).toBeLessThanOrEqual(80);
  });

  it("tells what PyTorch's files and classifiers are", async () => {
    await registerPlugins();
    const params = encoderNamed('resnet-tiny').init({ imageSize: 32 }, (name) => rng(1, name));
    writeFileSync(at('x.pth'), await encodeTorch({ state_dict: prefixed('module.encoder_q', params) }));
    expect(await json(at('x.pth'))).toMatchObject({
      kind: 'foreign',
      arch: 'resnet-tiny',
      title: expect.stringContaining('encoder_q'),
    });
    const labelled = at('labelled');
    for (const part of ['train/a', 'train/b', 'test/a', 'test/b']) writeImages(join(labelled, part), 4);
    const flags = ['-b', '4', '-j', '0', '--threads', '1', '--epochs', '1', '--out', at('probe')];
    expect(await moco('lincls', run, labelled, ...flags)).toMatchObject({ code: 0 });
    expect(await json(at('probe'))).toMatchObject({
      kind: 'classifier',
      epoch: 1,
      settings: { batchSize: 4 },
      best: { 'Acc@1': expect.any(Number) },
      next: [expect.stringMatching(/^moco lincls .*best\.safetensors -e$/), expect.any(String)],
    });
  });

  it('names the settings of a classifier that its command would not have chosen', async () => {
    const labelled = at('classes');
    for (const part of ['train/a', 'train/b', 'test/a', 'test/b']) writeImages(join(labelled, part), 4);
    const flags = (out: string) => [
      ...['-b', '4', '-j', '0', '--threads', '1', '--epochs', '1', '--out', at(out)],
    ];
    const v3 = ['--preset', 'moco-v3', '--cache-features'];
    expect(await moco('lincls', run, labelled, ...flags('v3'), ...v3)).toMatchObject({ code: 0 });
    expect(await moco('finetune', run, labelled, ...flags('tuned'))).toMatchObject({ code: 0 });
    vi.mocked(open).mockClear();
    expect((await json(at('v3'))).settings).toEqual({
      // The preset's: .1 for a batch of 256.
      ...{ batchSize: 4, lr: (0.1 * 4) / 256, schedule: [], cos: true },
      cacheFeatures: true,
    });
    // Once: the file may be large.
    expect(vi.mocked(open).mock.calls.map(([path]) => basename(String(path)))).toEqual(['best.safetensors']);
    expect((await moco('info', at('v3'))).out).not.toContain('--schedule');
    expect((await json(at('tuned'))).settings).toEqual({ batchSize: 4 });
    expect((await moco('info', at('tuned'))).out).toContain('  settings  --batch-size 4\n');
  });

  it('takes an imported encoder for no run', async () => {
    const params = encoderNamed('resnet-tiny').init({ imageSize: 32 }, (name) => rng(1, name));
    const state = { ...prefixed('module.encoder_q', params), 'module.clock': tensor([1], [1]) };
    writeFileSync(at('theirs.pth'), await encodeTorch({ state_dict: state }));
    const imported = at('imported.safetensors');
    expect(await moco('import', at('theirs.pth'), '-o', imported)).toMatchObject({ code: 0 });
    expect(await json(imported)).toEqual({
      ...{ path: imported, kind: 'checkpoint', method: 'moco-v1', arch: 'resnet-tiny', imageSize: 32 },
      ...{ epoch: 0, best: {}, settings: {} },
      next: [
        `moco knn ${imported} photos/`,
        `moco lincls ${imported} labelled/`,
        `moco export ${imported} -o model.onnx`,
      ],
    });
    expect((await moco('info', imported)).out).not.toMatch(/ {2}(data|epochs) |theirs/);
    const theirs = await moco('info', at('theirs.pth'));
    expect(theirs.err).toContain('moco: note: 1 tensor was left out: module.clock\n');
  });

  it('knows what moco convert wrote', async () => {
    const converted = at('converted.safetensors');
    expect(await moco('convert', run, '-o', converted)).toMatchObject({ code: 0 });
    expect(await json(converted)).toMatchObject({ kind: 'converted', method: 'moco-v2', imageSize: 16 });
    expect((await moco('info', converted)).out).toContain(': an encoder that moco convert wrote\n');
  });

  it('names no setting that follows from those that are named', async () => {
    const path = at('small.safetensors');
    const named = { method: 'moco-v3', arch: 'resnet18', optimizer: 'sgd', epochs: 20 } as const;
    // Which makes the stem CIFAR's, the rate 0.03 and the warm-up 2 epochs.
    writeCheckpoint(path, { ...named, data: 'photos', imageSize: 32 });
    expect((await json(path)).settings).toEqual({ optimizer: 'sgd', epochs: 20 });
    writeCheckpoint(path, { ...named, data: 'photos', imageSize: 32, stem: 'imagenet', lr: 0.1 });
    expect((await json(path)).settings).toEqual({ optimizer: 'sgd', epochs: 20, lr: 0.1, stem: 'imagenet' });
    writeCheckpoint(path, { method: 'moco-v2', data: 'photos' });
    expect((await json(path)).settings).toEqual({});
    writeCheckpoint(path, { data: 'emoji', designers: ['apple', 'google'], isolate: false });
    expect((await json(path)).settings).toEqual({ designers: ['apple', 'google'] });
    expect((await moco('info', path)).out).toContain('  settings  --designers apple,google\n');
  });

  it('prints commands that work', async () => {
    const nextOf = async (...args: string[]) => {
      const { out } = await moco('info', ...args);
      return out
        .slice(out.indexOf('  next'))
        .split('\n')
        .map((line) => line.slice(12))
        .filter(Boolean);
    };
    mkdirSync(at('long'));
    const [older, newer] = ['0001', '0002'].map((epoch) => at(`long/checkpoint-${epoch}.safetensors`));
    writeCheckpoint(older!, { data: 'my photos' });
    writeCheckpoint(newer!, {
      data: 'object:mine',
      backend: 'xla:/lib/pjrt.so',
      plugin: ['./own method.ts'],
    });
    const plugin = "--plugin './own method.ts'";
    const computed = '--backend xla:/lib/pjrt.so';
    expect(await nextOf(newer!)).toEqual([
      `moco pretrain photos/ --resume ${newer} ${computed} ${plugin}`,
      `moco knn ${newer} photos/ ${computed} ${plugin}`,
      `moco lincls ${newer} labelled/ ${computed} ${plugin}`,
      `moco export ${newer} -o model.onnx ${plugin}`,
    ]);
    expect((await nextOf(at('long')))[0]).toContain(`moco pretrain photos/ --resume ${at('long')} --backend`);
    // Its folder goes on after it.
    expect(await nextOf(older!)).toEqual([
      `moco pretrain --resume ${older} --out runs/branch`,
      `moco knn ${older} 'my photos'`,
      `moco lincls ${older} labelled/`,
      `moco export ${older} -o model.onnx`,
    ]);
  });

  it('refuses what is no model in one line', async () => {
    const { code, err } = await moco('info', images);
    expect([code, err]).toEqual([1, expect.stringMatching(/^moco: .* holds no checkpoint\n$/)]);
  });
});
