import { DataError, SettingError } from '@moco-ts/core';
import { defineDataset, type ImageDataset } from '@moco-ts/data';
import { expect, it } from 'vitest';
import { openTrainingSets } from './sets.ts';

const silent = () => undefined;
const own = (length: number) =>
  defineDataset({ name: 'own', length, decode: () => ({ width: 1, height: 1, data: new Uint8Array(3) }) });
const ids = (set: ImageDataset) => Array.from({ length: set.length }, (_, i) => set.id(i));

it('holds a tenth out, and trains on the rest', async () => {
  const { train, test, seen } = await openTrainingSets({ data: 'own' }, { dataset: own(500) }, silent);
  expect([...ids(train), ...ids(test)].sort()).toEqual(ids(own(500)).sort());
  expect(seen).toBe(false);
  // A hash of the ids decides: about a tenth.
  expect(test.length).toBeGreaterThan(15);
  expect(test.length).toBeLessThan(100);
});

it('measures on what it trains on where there are too few images', async () => {
  const { train, test, seen } = await openTrainingSets({ data: 'own' }, { dataset: own(20) }, silent);
  expect([train.length, test.length, seen]).toEqual([20, 20, true]);
});

it('holds some of few images out where they choose the checkpoint, and is not to hold out none then', async () => {
  const chosen = { data: 'own', select: 'retrieval' } as const;
  const { train, test, seen, holdOut } = await openTrainingSets(chosen, { dataset: own(20) }, silent);
  expect([...ids(train), ...ids(test)].sort()).toEqual(ids(own(20)).sort());
  expect([seen, holdOut, test.length > 0]).toEqual([false, 0.2, true]);
  const none = openTrainingSets({ ...chosen, holdOut: 0 }, { dataset: own(500) }, silent);
  await expect(none).rejects.toMatchObject({ code: 'setting-conflict', setting: 'holdOut' });
  const byLoss = { data: 'own', select: 'loss', holdOut: 0 } as const;
  expect((await openTrainingSets(byLoss, { dataset: own(500) }, silent)).seen).toBe(true);
});

it('holds out the same images of a set of a program when a run goes on', async () => {
  const first = await openTrainingSets({ data: 'own' }, { dataset: own(500) }, silent);
  const { holdOut } = first;
  const next = await openTrainingSets({ data: 'own', holdOut: holdOut! }, { dataset: own(500) }, silent);
  expect(ids(next.test)).toEqual(ids(first.test));
});

it('takes the images that are given to measure on', async () => {
  const sets = await openTrainingSets({ data: 'own' }, { dataset: own(20), test: own(9) }, silent);
  expect([sets.train.length, sets.test.length, sets.seen]).toEqual([20, 9, false]);
});

it('takes the test split of a set that has one', async () => {
  const { train, test, holdOut } = await openTrainingSets({ data: 'emoji' }, {}, silent);
  expect([train.source.split, test.source.split, holdOut]).toEqual(['train', 'test', undefined]);
});

it('refuses too few images, and no data', async () => {
  const refused = openTrainingSets({ data: 'own' }, { dataset: own(7) }, silent);
  await expect(refused).rejects.toThrow(/own has 7 images: train needs at least 8/);
  await expect(refused).rejects.toBeInstanceOf(DataError);
  await expect(openTrainingSets({}, {}, silent)).rejects.toBeInstanceOf(SettingError);
});
