import { rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { views } from './config.ts';
import { sampleCrop, sampleView } from './sample.ts';

const DRAWS = 4000;

describe('sampling of crops', () => {
  it('draws areas uniformly and aspects log-uniformly in their ranges', () => {
    let areas = 0;
    let logs = 0;
    const width = 400;
    const height = 400;
    for (let i = 0; i < DRAWS; i++) {
      const box = sampleCrop(rng(1, 'test', i), width, height, [0.2, 0.5], [3 / 4, 4 / 3]);
      expect(box.left).toBeGreaterThanOrEqual(0);
      expect(box.top).toBeGreaterThanOrEqual(0);
      expect(box.left + box.width).toBeLessThanOrEqual(width);
      expect(box.top + box.height).toBeLessThanOrEqual(height);
      const area = (box.width * box.height) / (width * height);
      const aspect = box.width / box.height;
      // Sides are whole pixels: half a pixel of 155 and more, both ways.
      expect(area).toBeGreaterThan(0.2 * 0.99);
      expect(area).toBeLessThan(0.5 * 1.01);
      expect(aspect).toBeGreaterThan(0.75 * 0.99);
      expect(aspect).toBeLessThan((4 / 3) * 1.01);
      areas += area;
      logs += Math.log(aspect);
    }
    // Four standard errors of a uniform mean: width / sqrt(12 n).
    expect(Math.abs(areas / DRAWS - 0.35)).toBeLessThan((4 * 0.3) / Math.sqrt(12 * DRAWS));
    expect(Math.abs(logs / DRAWS)).toBeLessThan((4 * 2 * Math.log(4 / 3)) / Math.sqrt(12 * DRAWS));
  });

  it('falls back to the largest centred crop of an allowed aspect', () => {
    // In a strip of 10:1 no crop of more than 13 % of the area has an aspect of at most 4:3.
    expect(sampleCrop(rng(1, 'test'), 300, 30, [0.5, 1], [3 / 4, 4 / 3])).toEqual({
      left: 130,
      top: 0,
      width: 40,
      height: 30,
    });
    expect(sampleCrop(rng(1, 'test'), 30, 300, [0.5, 1], [3 / 4, 4 / 3])).toEqual({
      left: 0,
      top: 130,
      width: 30,
      height: 40,
    });
  });

  it('takes an image of one pixel whole', () => {
    expect(sampleCrop(rng(1, 'test'), 1, 1, [0.2, 1], [3 / 4, 4 / 3])).toEqual({
      left: 0,
      top: 0,
      width: 1,
      height: 1,
    });
  });
});

describe('sampling of operations', () => {
  /** Share of draws with an operation, per view. */
  function shares(name: keyof typeof views, which: 0 | 1) {
    const config = views[name]({ size: 32 })[which];
    const counts: Record<string, number> = {};
    const values: Record<string, number[]> = {};
    const firsts: Record<string, number> = {};
    for (let i = 0; i < DRAWS; i++) {
      const { ops } = sampleView(config, rng(3, name, which, i), 64, 64);
      for (const step of ops) {
        counts[step.op] = (counts[step.op] ?? 0) + 1 / DRAWS;
        values[step.op] ??= [];
        const list = values[step.op]!;
        if ('factor' in step) list.push(step.factor);
        if ('shift' in step) list.push(step.shift);
        if ('sigma' in step) list.push(step.sigma);
      }
      const first = ops.find((step) => ['brightness', 'contrast', 'saturation', 'hue'].includes(step.op));
      if (first !== undefined) firsts[first.op] = (firsts[first.op] ?? 0) + 1;
    }
    return { counts, values, firsts };
  }
  // Four standard errors of a share of 4000 draws are at most .032.
  const near = (share: number | undefined, p: number) =>
    expect(Math.abs((share ?? 0) - p)).toBeLessThan(0.032);

  it.each([
    ['v1', 0, { brightness: 1, hue: 1, grayscale: 0.2, blur: 0, flip: 0.5, solarize: 0 }],
    ['aug-plus', 1, { brightness: 0.8, hue: 0.8, grayscale: 0.2, blur: 0.5, flip: 0.5, solarize: 0 }],
    ['v3', 0, { brightness: 0.8, grayscale: 0.2, blur: 1, flip: 0.5, solarize: 0 }],
    ['v3', 1, { brightness: 0.8, grayscale: 0.2, blur: 0.1, flip: 0.5, solarize: 0.2 }],
  ] as const)('%s, view %d: the probabilities of the recipe', (name, which, expected) => {
    const { counts } = shares(name, which);
    for (const [op, p] of Object.entries(expected)) near(counts[op], p);
  });

  it('keeps factors in range, and shuffles the jitter', () => {
    const { values, firsts } = shares('aug-plus', 0);
    for (const op of ['brightness', 'contrast', 'saturation']) {
      expect(Math.min(...values[op]!)).toBeGreaterThanOrEqual(0.6);
      expect(Math.max(...values[op]!)).toBeLessThan(1.4);
      expect(Math.max(...values[op]!) - Math.min(...values[op]!)).toBeGreaterThan(0.78);
    }
    expect(Math.min(...values.hue!)).toBeGreaterThanOrEqual(-0.1);
    expect(Math.max(...values.hue!)).toBeLessThan(0.1);
    expect(Math.min(...values.blur!)).toBeGreaterThanOrEqual(0.1);
    expect(Math.max(...values.blur!)).toBeLessThan(2);
    const total = Object.values(firsts).reduce((sum, n) => sum + n, 0);
    for (const op of ['brightness', 'contrast', 'saturation', 'hue']) near(firsts[op]! / total, 0.25);
  });

  it('takes the crop range that is asked for', () => {
    expect(views.v1({ size: 32 })[0].crop).toEqual([0.2, 1]);
    expect(views.v3({ size: 32 })[0].crop).toEqual([0.08, 1]);
    expect(views['aug-plus']({ size: 32, cropMin: 0.35, cropMax: 0.9 })[1].crop).toEqual([0.35, 0.9]);
  });
});
