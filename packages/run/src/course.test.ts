import type { Tensor } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from './config.ts';
import { asRecorded, byEpochs, type Course, TimeCourse, type TimePlan } from './course.ts';
import { rateAt } from './model.ts';
import { runSession, Session } from './session.ts';

const scalar = (number: number): Tensor => ({ shape: [], dtype: 'float32', data: Float32Array.of(number) });
const start = { epoch: 0, step: 0, globalStep: 0 };
const STEPS = 10;
const endless = byEpochs(Number.POSITIVE_INFINITY, STEPS);
const config = resolveConfig(
  { data: 'photos', cos: true, lr: 1, time: 600 },
  { source: { data: 'photos', split: 'train' } },
);

interface Machine {
  /** Seconds of a step that begins at a time. */
  step?(now: number): number;
  /** Seconds of a save and of an evaluation, between epochs and at the end. */
  readonly evaluation?: number;
  /** It is at the end alone. */
  readonly once?: boolean;
  readonly overlapping?: boolean;
  /** Steps of the run. */
  readonly maxSteps?: number;
}

/** A training on a machine whose clock the test has. Seconds. */
async function trained(
  plan: Partial<TimePlan> & Pick<TimePlan, 'time'>,
  { step = () => 1, evaluation = 0, once, overlapping, maxSteps }: Machine = {},
) {
  let now = 1000;
  const clock = () => 1000 * now;
  const from = plan.from ?? start;
  const course = new TimeCourse({ clock, epochs: endless, from, ...plan });
  const steps: { at: number; progress: number; rate: number }[] = [];
  // A device takes its steps one after the other.
  let device: Promise<unknown> = Promise.resolve();
  const session = new Session<string>({
    trainer: {
      step: (_, rate) => {
        const run = device.then(() => {
          now += step(now - 1000);
          return { loss: scalar(rate) };
        });
        device = run;
        return run;
      },
    },
    ...{
      epochs: Number.POSITIVE_INFINITY,
      stepsPerEpoch: STEPS,
      batchSize: 8,
      position: from,
      course,
      clock,
    },
    overlapping,
    batches: async function* (_, fromStep) {
      for (let i = fromStep; i < STEPS; i++) yield 'batch';
    },
    feeds: (_, { progress }) => {
      steps.push({ at: now - 1000, progress, rate: rateAt(config, { epoch: 0, step: 0, progress }, STEPS) });
      return {};
    },
    rate: (at) => rateAt(config, at, STEPS),
    diverged: () => new Error('diverged'),
  });
  const measure = () =>
    course.between('evaluation', async () => {
      now += evaluation;
    });
  let measured = 0;
  const done = await runSession(session, {
    stop: { requested: false },
    maxSteps,
    onEpoch: async () => {
      if (once || !course.hasTimeFor('evaluation')) return;
      measured = session.position.globalStep;
      await measure();
    },
  });
  const record = session.record().time!;
  if (done && measured !== session.position.globalStep) await measure();
  return { done, ended: now - 1000, steps, record, position: session.position, session };
}

/** How much the progress of a step is above that of the step before, at most. */
const largestRise = (steps: readonly { progress: number }[]) =>
  Math.max(...steps.slice(1).map(({ progress }, i) => progress - steps[i]!.progress));

describe('a training that goes by the clock', () => {
  it('begins at 0, is at each step as far as the time is, and begins none that would end behind it', async () => {
    const { done, ended, steps } = await trained({ time: 100.5 });
    expect([done, ended, steps.length]).toEqual([true, 100, 100]);
    for (const { at, progress } of steps) expect(progress).toBeCloseTo(at / 100.5, 12);
    expect(steps[0]).toMatchObject({ progress: 0, rate: 1 });
  });

  it('ends on time, its rate with it, on a machine whose speed changes', async () => {
    const slower = (now: number) => (now > 200 && now < 400 ? 6 : 2);
    const { ended, steps } = await trained({ time: 600 }, { step: slower });
    expect(ended).toBeGreaterThan(0.95 * 600);
    expect(ended).toBeLessThanOrEqual(600);
    for (const { at, progress, rate } of steps) {
      expect(progress).toBeCloseTo(at / 600, 12);
      expect(rate).toBeCloseTo(0.5 * (1 + Math.cos((Math.PI * at) / 600)), 12);
    }
    expect(steps.at(-1)!.rate).toBeLessThan(1e-3);
  });

  it('ends on time where the last steps take three times as long as those before', async () => {
    const { ended } = await trained({ time: 600 }, { step: (now) => (now > 560 ? 9 : 3) });
    expect(Math.abs(ended - 600)).toBeLessThan(0.05 * 600);
  });

  it('counts what happens between steps, and keeps its time free behind the last, as the reserve', async () => {
    const { ended, steps } = await trained({ time: 600, reserve: 60 }, { evaluation: 25 });
    // The evaluation at the end is in it, what the reserve is for is not.
    expect(ended).toBeGreaterThan(540 - 0.05 * 600);
    expect(ended).toBeLessThanOrEqual(540);
    expect(steps.at(-1)!.progress).toBeGreaterThan(0.99);
    for (const [i, { progress }] of steps.slice(1).entries())
      expect(progress).toBeGreaterThan(steps[i]!.progress);
  });

  it('keeps time free for what was never done before the end, where it is known how long it takes', async () => {
    const plan = { time: 100, following: { evaluation: 25 } };
    const { ended, steps } = await trained(plan, { evaluation: 25, once: true });
    expect([ended, steps.length]).toEqual([100, 75]);
    expect(steps[30]!.progress).toBeCloseTo(30 / 75, 12);
  });

  it('has as much time less as its command took before the first step, which is at 0 all the same', async () => {
    const { ended, steps } = await trained({ time: 100.5, began: 1000 * 960 });
    expect([ended, steps.length, steps[0]!.progress]).toEqual([60, 60, 0]);
    expect(steps[30]!.progress).toBeCloseTo(30 / 60.5, 12);
  });

  it('takes a step of an hour for a pause of the machine, and a stall of 50 seconds for time', async () => {
    const pause = (length: number) => {
      let paused = false;
      return (now: number) => {
        if (paused || now < 300) return 1;
        paused = true;
        return length;
      };
    };
    for (const overlapping of [false, true]) {
      const slept = await trained({ time: 600.5 }, { step: pause(3600), overlapping });
      expect(slept.ended).toBeGreaterThan(3600 + 595);
      expect(slept.ended).toBeLessThan(3600 + 605);
      expect(largestRise(slept.steps)).toBeLessThan(0.01);
      const stalled = await trained({ time: 600.5 }, { step: pause(50), overlapping });
      expect(stalled.ended).toBeGreaterThan(590);
      expect(stalled.ended).toBeLessThanOrEqual(600.5);
    }
  });

  it('goes on where it was, with the time that is left, whatever the speed is by then', async () => {
    const time = 600;
    const before = await trained({ time }, { maxSteps: 200 });
    expect([before.done, before.record]).toEqual([
      false,
      { spent: 200, progress: expect.closeTo(1 / 3, 12) },
    ]);
    const { spent, progress } = before.record;
    const plan = { time, spent, progress, from: before.position };
    // 50 seconds go by until its first step, and steps take 3 seconds.
    const after = await trained({ ...plan, began: 1000 * 950 }, { step: () => 3 });
    expect(after.steps[0]).toMatchObject({ progress: expect.closeTo(1 / 3, 12) });
    expect(after.ended).toBeGreaterThan(350 - 4);
    expect(after.ended).toBeLessThanOrEqual(350);
    expect(after.steps.at(-1)!.progress).toBeGreaterThan(0.98);
    expect(after.record.progress).toBe(1);
    // What is over is over, and goes on with more time.
    const over = await trained({ ...plan, ...after.record, from: after.position });
    expect([over.done, over.steps]).toEqual([true, []]);
    const more = await trained({ time: 1200, spent: 600, progress: 0.5, from: after.position });
    expect(more.ended).toBe(600);
  });

  it('is at 0 however long its first step is waited for, and reckons with a step that is under way', () => {
    let now = 0;
    const course = new TimeCourse({ clock: () => 1000 * now, time: 10, from: start, epochs: endless });
    const at = (globalStep: number) => ({ epoch: 0, step: globalStep, globalStep });
    now = 5;
    expect(course.stepsLeft(start)).toBe(Number.POSITIVE_INFINITY);
    expect(course.progress(start)).toBe(0);
    now = 7;
    course.booked(2);
    expect(course.progress(at(1))).toBeCloseTo(2 / 5, 12);
    // Three of a second fit into what is left.
    course.booked(1);
    course.booked(1);
    expect([3, 4, 5, 6].map((step) => course.stepsLeft(at(step)))).toEqual([3, 2, 1, 0]);
  });

  it('tells how long it takes until the end', async () => {
    const { session } = await trained({ time: 600 }, { maxSteps: 1 });
    const { result } = (await session.begin())!;
    const { progress } = await result;
    expect(progress).toMatchObject({ etaSeconds: 598, time: { spent: 2, total: 600 }, epochs: Infinity });
    expect(progress.done).toBeCloseTo(2 / 600, 12);
  });
});

describe('a training with a time and a number of epochs', () => {
  it('ends with what ends first, and its schedules with it', async () => {
    const epochs = byEpochs(5, STEPS);
    const short = await trained({ time: 600, epochs });
    expect([short.done, short.ended, short.steps.length]).toEqual([true, 50, 50]);
    for (const [i, { progress }] of short.steps.entries()) expect(progress).toBeCloseTo(i / 50, 12);
    const long = await trained({ time: 40.5, epochs });
    expect([long.done, long.steps.length]).toEqual([true, 40]);
    expect(long.steps[20]!.progress).toBeCloseTo(20 / 40.5, 12);
    // Ended by its epochs, not by its time: more epochs go on.
    expect(short.record.progress).toBeLessThan(0.1);
  });
});

describe('a training as another one was', () => {
  const values = [0, 0.3, 0.31, 0.9];
  const at = (globalStep: number) => ({ epoch: 0, step: globalStep, globalStep });
  it('has its places, and as many steps', () => {
    const course: Course = asRecorded(values, endless);
    expect(values.map((_, i) => course.progress(at(i)))).toEqual(values);
    expect([0, 3, 4].map((step) => course.stepsLeft(at(step)))).toEqual([4, 1, 0]);
    expect(asRecorded(values, byEpochs(1, 2)).stepsLeft(at(0))).toBe(2);
  });
});

describe('schedules of a run that goes by time', () => {
  const rate = (flags: object, progress: number) =>
    rateAt(
      resolveConfig(
        { data: 'photos', lr: 1, time: 600, ...flags },
        { source: { data: 'photos', split: 'train' } },
      ),
      { epoch: 77, step: 5, progress },
      STEPS,
    );
  it('are at the share that they are at by epochs, of those that are named or the method has', () => {
    // 120 and 160 of 200.
    expect([0.599, 0.6, 0.799, 0.8].map((progress) => rate({}, progress))).toEqual([
      1,
      expect.closeTo(0.1),
      expect.closeTo(0.1),
      expect.closeTo(0.01),
    ]);
    expect(rate({ schedule: [5], epochs: 10 }, 0.5)).toBeCloseTo(0.1, 12);
    expect(rate({ schedule: [5], epochs: 10 }, 0.499)).toBe(1);
    expect(rate({ warmupEpochs: 20 }, 0.05)).toBeCloseTo(0.5, 12);
    expect(rate({ cos: true, warmupEpochs: 20 }, 0.55)).toBeCloseTo(0.5, 12);
  });
});
