import { inWords } from '@moco-ts/core';
import { createMethod, resolveConfig } from '@moco-ts/run';
import { beforeAll, expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { registerPlugins } from './plugins.ts';
import { smallGroups } from './small-groups.ts';

beforeAll(registerPlugins);

/** What is said of a step of ResNet-18 with ImageNet's stem, whose last map has a 32nd of the image's side. */
function said(flags: object): string | undefined {
  const recipe = {
    data: 'x',
    method: 'moco-v2',
    arch: 'resnet18',
    stem: 'imagenet',
    mocoK: 16,
    ...flags,
  } as const;
  const config = resolveConfig(recipe, { source: { data: 'x', split: 'train' } });
  const method = createMethod(config, 1000);
  const text = smallGroups(method.step(method.state()), config);
  return text && inWords(text, ({ setting, value }) => `${setting} ${value}`);
}

it('names the settings by which batch normalisation gets the statistics of two values', () => {
  // Groups of 16 / 8 images, maps of 1x1.
  expect(said({ batchSize: 16, imageSize: 32 })).toMatch(
    /of 2 values a channel .*lower bnSplits 8, or raise batchSize 16 or imageSize 32$/,
  );
  // Maps of 2x2; groups of four.
  expect(said({ batchSize: 16, imageSize: 64 })).toBeUndefined();
  expect(said({ batchSize: 16, imageSize: 32, bnSplits: 4 })).toBeUndefined();
});

it('warns before the first step', async () => {
  const small = [...tiny, '-a', 'resnet18', '--stem', 'imagenet', '--image-size', '32', '-b', '4'];
  const out = ['--out', temporaryFolder(), '--max-steps', '1'];
  const { code, err } = await moco('pretrain', imageFolder(8), ...small, ...out);
  expect([code, err]).toEqual([
    0,
    expect.stringMatching(/^moco: warning: batch normalisation .*--bn-splits 2/),
  ]);
});
