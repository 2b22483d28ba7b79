import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { listCheckpoints } from '../../../node/src/checkpoint.ts';
import { differences, imageFolder, logged, moco, temporaryFolder } from '../testing.ts';

const images = imageFolder(20);
const small = ['--image-size', '16', '-b', '8', '--moco-dim', '8', '-j', '0', '--threads', '1', '-p', '1'];
const resnet = ['-a', 'resnet-tiny'];
const vit = ['-a', 'vit_tiny', '--patch-size', '8', '--moco-mlp-dim', '16'];

const queue = [...resnet, '--moco-k', '16', '--bn-splits', '2'];
/** Maps large enough for the statistics of a part of a batch, and a rate by which so few images don't collapse. */
const larger = ['--image-size', '32', '--lr', '0.001'];

const runs: readonly [name: string, flags: readonly string[]][] = [
  ['moco-v2', [...queue, ...larger, '--accumulate', '2']],
  ['instdisc', [...resnet, ...larger, '--moco-k', '12', '--accumulate', '4']],
  ['moco-v3', [...resnet, '--moco-mlp-dim', '16']],
  ['moco-v3', vit],
  ['simclr', resnet],
  ['instdisc', [...resnet, '--moco-k', '12']],
  ['instdisc', [...resnet, '--moco-k', '12', '--loss', 'infonce', '--bank-draw', 'batch', '--proximal', '1']],
];

const train = (folder: string, method: string, flags: readonly string[], ...more: string[]) =>
  moco('pretrain', images, '--method', method, ...small, ...flags, '--epochs', '4', '--out', folder, ...more);

const newest = async (folder: string) => join(folder, (await listCheckpoints(folder))[0]!);

async function tensors(folder: string) {
  const path = await newest(folder);
  return decodeSafetensors(readFileSync(path), path).tensors;
}

describe.each(runs)('%s %j', (method, flags) => {
  it('trains, goes on to the bit, is measured and exported with and without its head', async () => {
    const [once, parts] = [join(temporaryFolder(), 'whole'), join(temporaryFolder(), 'parts')];
    expect(await train(once, method, flags, '--max-steps', '5')).toMatchObject({ code: 0, err: '' });
    await train(parts, method, flags, '--max-steps', '3');
    expect(await moco('pretrain', '--resume', parts, '--max-steps', '5')).toMatchObject({ code: 0, err: '' });
    const steps = logged(once, 'step').map(({ loss }) => loss as number);
    expect(steps).toHaveLength(5);
    expect(steps.every(Number.isFinite)).toBe(true);
    expect(logged(parts, 'step').map(({ loss }) => loss)).toEqual(steps);
    expect(differences(await newest(parts), await newest(once))).toEqual([]);

    expect(await moco('knn', once, '--baseline')).toMatchObject({ code: 0, err: '' });
    const model = join(temporaryFolder(), 'model.onnx');
    expect(await moco('export', once, '-o', model)).toMatchObject({ code: 0, err: '' });
    const head = await moco('export', once, '-o', model, '--with-head');
    expect(head).toMatchObject({ code: 0, out: expect.stringContaining('8 features') });
  });
});

it('keeps the bank and its constant with a run', async () => {
  const folder = join(temporaryFolder(), 'r');
  await train(folder, 'instdisc', [...resnet, '--moco-k', '12'], '--max-steps', '1');
  const { bank, bank_z } = await tensors(folder);
  expect(bank!.shape).toEqual([20, 8]);
  expect(bank_z!.data[0]).toBeGreaterThan(0);
});

it('resumes with gradients of other micro-batches, of which a checkpoint holds nothing', async () => {
  const folder = join(temporaryFolder(), 'r');
  await train(folder, 'moco-v2', [...queue, '--accumulate', '2'], '--max-steps', '1');
  expect(Object.keys(await tensors(folder)).filter((name) => name.startsWith('accumulate'))).toEqual([]);
  const goOn = ['pretrain', '--resume', folder, '--accumulate', '1', '--max-steps', '3'];
  expect(await moco(...goOn)).toMatchObject({ code: 0, err: '' });
  const { config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect(config.accumulate).toBe(1);
});

it('leaves the patch projection of a ViT alone, unless it is told to train it', async () => {
  const projections: Float32Array[] = [];
  for (const more of [[], ['--no-stop-grad-conv1']]) {
    const folder = join(temporaryFolder(), 'r');
    await train(folder, 'moco-v3', vit, '--max-steps', '2', ...more);
    projections.push((await tensors(folder))['q.patch_embed.proj.weight']!.data as Float32Array);
  }
  expect(projections[0]).not.toEqual(projections[1]);
});

it.each([
  [['--method', 'simclr', '--moco-k', '64'], '--moco-k means nothing to simclr'],
  [['--method', 'moco-v3', '--mlp'], '--mlp means nothing to moco-v3'],
  [['--method', 'moco-v2', '--loss', 'nce'], '--loss nce belongs to instdisc'],
  [['--method', 'instdisc', '--bn', 'shuffle'], '--bn shuffle permutes the keys of a queue'],
  [['--method', 'instdisc', '-b', '64'], '--batch-size 64 is larger'],
  [
    ['--method', 'simclr', '--accumulate', '2'],
    'simclr takes no --accumulate: its loss needs all images of a batch at once',
  ],
  [
    ['-b', '16', '--accumulate', '3'],
    "--batch-size 16 can't be cut into 3 equal parts: change it or --accumulate",
  ],
  [
    ['-b', '16', '--accumulate', '2'],
    "a micro-batch of 8, a part by --accumulate 2, can't be normalised in 8 groups",
  ],
])('refuses %j', async (flags, message) => {
  const { code, err } = await moco('pretrain', images, ...resnet, ...flags);
  expect([code, err]).toEqual([1, expect.stringContaining(message)]);
});
