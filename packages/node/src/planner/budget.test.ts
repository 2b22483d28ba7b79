import { SettingError } from '@moco-ts/core';
import { isDue } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { expectEnough, shareOfMeasures, stepWithViews, trainingSeconds } from './budget.ts';

describe('the time', () => {
  it('is for all that the command does, not for training alone', () => {
    expect(trainingSeconds({ time: 240, spent: 20, reserve: 15 })).toBe(205);
  });

  const refusal = (time: number) => {
    try {
      expectEnough({ time, spent: 20, reserve: 15 }, 0.2);
    } catch (error) {
      return error as SettingError;
    }
    return undefined;
  };

  it('of 100 steps and what comes before and after them is enough', () => {
    expect(refusal(55)).toBeUndefined();
    expect(refusal(54)).toBeInstanceOf(SettingError);
  });

  it('that is too short is refused with one that works', () => {
    const { message, setting, code } = refusal(30)!;
    // (20 + 15 + 100 * .2) * 1.1 = 60.5 s.
    expect(message).toMatch(/^30s is too short here: give at least time 1m10s, /);
    expect([setting, code]).toEqual(['time', 'setting-invalid']);
    expect(refusal(70)).toBeUndefined();
  });
});

describe('a step with views', () => {
  it('waits for the slower of both on a GPU', () => {
    expect(stepWithViews(0.1, 0.3, undefined)).toBe(0.3);
    expect(stepWithViews(0.3, 0.1, undefined)).toBe(0.3);
  });

  it('shares the cores with them on a CPU', () => {
    // One of two cores makes views for .1 s: half of that is taken from the step.
    expect(stepWithViews(0.3, 0.1, { workers: 1, cores: 2 })).toBeCloseTo(0.35, 12);
    expect(stepWithViews(0.3, 0.1, { workers: 8, cores: 4 })).toBeCloseTo(0.4, 12);
  });
});

describe('measuring', () => {
  /** Evaluations of a run of 40 epochs. */
  const times = (measure: number, training: number) => {
    const every = shareOfMeasures(measure, training);
    const at = (epoch: number) => ({ epoch, progress: epoch / 40 });
    return Array.from({ length: 40 }, (_, i) => isDue(every, at(i), at(i + 1))).filter(Boolean).length;
  };

  it('is for a tenth of the time at most', () => {
    // Five of 4 s in 200 s.
    expect(times(4, 200)).toBe(5);
    expect(times(0.1, 200)).toBe(10);
  });

  it('is at the end alone where one takes that tenth', () => {
    expect(times(20, 200)).toBe(1);
    expect(times(100, 200)).toBe(1);
  });
});
