import { existsSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { tensor } from '@moco-ts/core';
import { resolveConfig } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import { bestOf, type ClassifierRecipe, readClassifier, saveClassifier } from './classifier-file.ts';

const run = resolveConfig({ data: 'photos' }, { source: { data: 'photos', split: 'train' } });
const recipe: ClassifierRecipe = {
  ...{
    train: 'linear' as const,
    data: 'photos',
    epochs: 9,
    batchSize: 8,
    lr: 30,
    momentum: 0.9,
    wd: 0,
    schedule: [],
  },
  ...{ cos: false, cropMin: 0.08, seed: 0, cacheFeatures: false },
};

function save(folder: string, name: 'latest' | 'best', epoch: number, acc1: number, bestAcc1: number) {
  const info = { recipe, run, encoder: 'e', classes: ['a', 'b'], epoch, acc1, acc5: 100, bestAcc1 };
  return saveClassifier(join(folder, `${name}.safetensors`), info, { 'q.fc.bias': tensor([epoch], [1]) });
}
const latest = (folder: string) => readClassifier(join(folder, 'latest.safetensors'));
const best = (folder: string) => readClassifier(join(folder, 'best.safetensors'));

it('the best is what its file holds', async () => {
  const folder = temporaryFolder();
  await save(folder, 'best', 1, 60, 60);
  await save(folder, 'latest', 2, 50, 60);
  expect(await bestOf(folder, await latest(folder))).toBe(60);
  // A kill came between the two files of the third epoch, which is trained again.
  await save(folder, 'best', 3, 70, 70);
  expect(await bestOf(folder, await latest(folder))).toBe(70);
  expect((await best(folder)).info.epoch).toBe(3);
});

it.each([
  ['missing', (path: string) => rmSync(path)],
  ['damaged', (path: string) => truncateSync(path, 50)],
])('a best that is %s is written again where the latest is the best, else it is none', async (_, harm) => {
  const folder = temporaryFolder();
  const path = join(folder, 'best.safetensors');
  await save(folder, 'best', 1, 60, 60);
  await save(folder, 'latest', 2, 80, 80);
  harm(path);
  expect(await bestOf(folder, await latest(folder))).toBe(80);
  expect((await best(folder)).info).toEqual((await latest(folder)).info);
  harm(path);
  await save(folder, 'latest', 3, 50, 80);
  expect(await bestOf(folder, await latest(folder))).toBe(-1);
  rmSync(path, { force: true });
  expect(existsSync(path)).toBe(false);
});
