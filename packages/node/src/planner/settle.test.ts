import { BackendError } from '@moco-ts/core';
import type { RunFlags } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { recipes, scales } from '../../../run/src/recipes/table.ts';
import { settle } from './settle.ts';

const photographs = { images: 5000, width: 4000, height: 3000 };

/** Steps whose cost is that of their pixels. @param seconds of a step of 32 px */
function machine(seconds: number) {
  const asked: string[] = [];
  const time = async ({ arch, imageSize }: RunFlags) => {
    asked.push(`${arch} ${imageSize}`);
    return seconds * (imageSize! / 32) ** 2;
  };
  return { time, asked };
}

it('takes the quickest encoder where the time buys too few images for another, and times no other', async () => {
  const { time, asked } = machine(1);
  const { scale, flags, reason } = await settle(photographs, {}, { seconds: 60 }, time);
  expect(scale).toEqual({ ...scales[0], secondsPerStep: 1 });
  expect(flags).toMatchObject({ arch: scales[0]!.arch, imageSize: scales[0]!.imageSize });
  expect(asked).toHaveLength(1);
  expect(reason).toMatch(/too few images/);
});

it('takes the largest encoder where the time is enough', async () => {
  const { time, asked } = machine(1e-6);
  const { scale, reason } = await settle(photographs, {}, { seconds: 3600 }, time);
  expect(scale).toMatchObject(scales.at(-1)!);
  expect(asked).toHaveLength(scales.length);
  expect(reason).toMatch(/the largest/);
});

it('takes the one before that for which the time is too short', async () => {
  const [, second, third] = scales;
  // Images that the third needs, less one batch, at the price of its pixels.
  const perStep = (third!.imageSize / 32) ** 2;
  const seconds = (third!.worth / 64 - 1) * perStep;
  const { scale } = await settle(photographs, {}, { seconds }, machine(1).time);
  expect(scale.imageSize).toBe(second!.imageSize);
});

it('goes back to the one before that which the device has no memory for', async () => {
  const time = async ({ imageSize }: RunFlags) => {
    if (imageSize === scales[1]!.imageSize) throw new BackendError('no memory', { code: 'backend-memory' });
    return 1e-6;
  };
  const { scale, reason } = await settle(photographs, {}, { seconds: 3600 }, time);
  expect(scale).toMatchObject(scales[0]!);
  expect(reason).toBe('a larger one does not run on this device');
});

it('has no larger views than the images are', async () => {
  const { scale, reason } = await settle(
    { images: 70_000, width: 28, height: 28 },
    {},
    { seconds: 1e6 },
    machine(1e-6).time,
  );
  expect([scale.imageSize, reason]).toEqual([scales[0]!.imageSize, 'the largest for such images']);
});

it('takes what the user asks for', async () => {
  const given = { arch: 'vit_tiny', imageSize: 224, lr: 0.1 };
  const { flags, reason } = await settle(photographs, given, { seconds: 60 }, machine(1).time);
  expect(flags).toMatchObject({ ...given, method: recipes[0]!.flags.method });
  expect(reason).toBe('asked for');
});

it('goes by the images that the epochs see, where the user gives them, not by the clock', async () => {
  const worth = scales[1]!.worth;
  const passes = (epochs: number) => (batch: number) => ({ steps: (epochs * photographs.images) / batch });
  const enough = await settle(photographs, {}, passes(worth / photographs.images), machine(1000).time);
  expect(enough.scale.imageSize).toBe(scales[1]!.imageSize);
  const fewer = await settle(photographs, {}, passes(worth / photographs.images - 1), machine(1e-9).time);
  expect(fewer.scale.imageSize).toBe(scales[0]!.imageSize);
});
