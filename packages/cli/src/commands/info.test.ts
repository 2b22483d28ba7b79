import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encoderNamed, prefixed, rng } from '@moco-ts/core';
import { encodeTorch } from '@moco-ts/exchange';
import { registerPlugins } from '@moco-ts/node';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(12);
const run = at('run');
const json = async (path: string) => JSON.parse((await moco('info', path, '--json')).out) as object;

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
      settings: { batchSize: 8, bnSplits: 2, mocoK: 16, mocoDim: 8, lr: 0.01, epochs: 3, knnEvery: 1 },
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
      found: expect.stringContaining('encoder_q'),
    });
    const labelled = at('labelled');
    for (const part of ['train/a', 'train/b', 'test/a', 'test/b']) writeImages(join(labelled, part), 4);
    const flags = ['-b', '4', '-j', '0', '--threads', '1', '--epochs', '1', '--out', at('probe')];
    expect(await moco('lincls', run, labelled, ...flags)).toMatchObject({ code: 0 });
    expect(await json(at('probe'))).toMatchObject({
      kind: 'classifier',
      epoch: 1,
      settings: { lr: 30 },
      best: { 'Acc@1': expect.any(Number) },
      next: [expect.stringMatching(/^moco lincls .*best\.safetensors -e$/), expect.any(String)],
    });
  });

  it('refuses what is no model in one line', async () => {
    const { code, err } = await moco('info', images);
    expect([code, err]).toEqual([1, expect.stringMatching(/^moco: .* holds no checkpoint\n$/)]);
  });
});
