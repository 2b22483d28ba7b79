import { describe, expect, it } from 'vitest';
import { batchFor, isWorth, recipeFlags, recipeFor, scalesFor } from './choose.ts';
import { recipes, scales, usualFlags } from './table.ts';

describe('the recipe', () => {
  it('goes by the number of images', () => {
    const usual = recipes.filter(({ from }) => Number.isFinite(from));
    expect(usual[0]).toBe(recipes[0]);
    usual.forEach((recipe, i) => {
      const next = usual[i + 1]?.from ?? 10_000_000;
      expect([recipe.from, next - 1].map((images) => recipeFor(images, {}))).toEqual([recipe, recipe]);
    });
  });

  it('is that of the method that is asked for, whatever the number of images', () => {
    for (const { flags } of recipes)
      expect(recipeFor(100, { method: flags.method }).flags.method).toBe(flags.method);
    expect(recipeFor(100, { method: 'of-a-plugin' }).flags).toEqual({ method: 'of-a-plugin' });
  });

  it('is of a method that takes what the user asks for', () => {
    expect(recipeFor(500, { mocoK: 1024 }).flags.method).toBe('moco-v2');
    expect(recipeFor(500, { mocoMlpDim: 256 }).flags.method).toBe('moco-v3');
  });

  it('has no queue longer than half the set', () => {
    const flags = recipeFlags(recipeFor(500, { method: 'moco-v2' }), 500, {});
    expect([flags.batchSize, flags.mocoK]).toEqual([64, 128]);
    expect(recipeFlags(recipeFor(500, { method: 'moco-v2' }), 500, { mocoK: 1024 }).mocoK).toBe(1024);
    expect(recipeFlags(recipeFor(500, {}), 500, {})).not.toHaveProperty('mocoK');
  });

  it('gives way to the flags of the user, and has no batch larger than the set', () => {
    const recipe = recipeFor(3000, {});
    const flags = recipeFlags(recipe, 3000, { data: 'x', lr: 0.5, mocoT: 0.3 });
    expect(flags).toMatchObject({ data: 'x', lr: 0.5, mocoT: 0.3, batchSize: usualFlags.batchSize });
    expect(recipeFlags(recipe, 40, {}).batchSize).toBe(32);
    expect(recipeFlags(recipe, 40, { batchSize: 12 }).batchSize).toBe(12);
  });

  it('has a queue of whole steps', () => {
    const recipe = recipeFor(3000, { method: 'moco-v2' });
    const queue = (images: number, given: object) => recipeFlags(recipe, images, given).mocoK;
    // Of 1024, the largest power of 2 below half of the images, 21 steps of 48, or 10 of 96.
    expect([queue(3000, { batchSize: 48 }), queue(3000, { batchSize: 48, symmetric: true })]).toEqual([
      1008, 960,
    ]);
    // Of 16 images 8 are in the queue, one step of 16, whose two views are 32.
    expect([queue(16, {}), queue(16, { symmetric: true })]).toEqual([16, 32]);
    expect(queue(3000, { batchSize: 48, mocoK: 96 })).toBe(96);
  });

  it('has a tenth of the rate for weights that are trained already, unless the user names one', () => {
    const recipe = recipeFor(3000, {});
    const { lr } = recipeFlags(recipe, 3000, {});
    expect(recipeFlags(recipe, 3000, { init: 'a.pth' }).lr).toBeCloseTo(lr! / 10, 12);
    expect(recipeFlags(recipe, 3000, { init: 'a.pth', lr: 1 }).lr).toBe(1);
  });
});

it.each([
  [8, 64, 8],
  [63, 64, 32],
  [64, 64, 64],
  [65, 48, 48],
])('%i images in batches of at most %i: %i', (images, most, batch) => {
  expect(batchFor(images, most)).toBe(batch);
});

describe('the scales', () => {
  it('are no larger than the images, but for the smallest', () => {
    expect(scalesFor(9, {})).toEqual(scales.slice(0, 1));
    expect(scalesFor(64, {}).map(({ imageSize }) => imageSize)).toEqual([32, 64]);
    expect(scalesFor(5000, {})).toEqual(scales);
  });

  it('take what the user asks for, each once', () => {
    expect(scalesFor(640, { arch: 'resnet34', imageSize: 48 })).toEqual([
      { arch: 'resnet34', imageSize: 48, worth: 0 },
    ]);
    const sized = scalesFor(20, { imageSize: 48 });
    expect(sized.map(({ imageSize }) => imageSize)).toEqual(sized.map(() => 48));
    expect(sized.map(({ arch }) => arch)).toEqual([...new Set(scales.map(({ arch }) => arch))]);
  });

  it('are worth their cost where the time buys enough images', () => {
    // 100 s of steps of .5 s with 64 images: 12,800 images.
    const scale = { arch: 'a', imageSize: 32, secondsPerStep: 0.5 };
    expect(isWorth({ ...scale, worth: 12_800 }, 64, { seconds: 100 })).toBe(true);
    expect(isWorth({ ...scale, worth: 12_801 }, 64, { seconds: 100 })).toBe(false);
    expect(isWorth({ ...scale, worth: 640 }, 64, { steps: 10 })).toBe(true);
    expect(isWorth({ ...scale, worth: 641 }, 64, { steps: 10 })).toBe(false);
  });
});
