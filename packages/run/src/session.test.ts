import type { Tensor } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import type { Moment } from './method.ts';
import { runSession, Session, type SessionOptions, type StepInfo } from './session.ts';

const value = (number: number): Tensor => ({ shape: [], dtype: 'float32', data: Float32Array.of(number) });

/** Steps that have the loss of their number; those that are held end when the test says so. */
function played(changes: Partial<SessionOptions<string>> = {}, held: readonly number[] = []) {
  const log: string[] = [];
  const moments: Moment[] = [];
  const infos: StepInfo[] = [];
  const ends = new Map<number, (error?: Error) => void>();
  let now = 0;
  const session = new Session<string>({
    trainer: {
      step: async (feeds, rate, count) => {
        log.push(`begin ${count} ${Object.keys(feeds).join()} ${rate}`);
        if (held.includes(count))
          await new Promise<void>((resolve, reject) =>
            ends.set(count, (error) => (error ? reject(error) : resolve())),
          );
        now += 10;
        return { loss: value(count), acc1: value(2 * count) };
      },
    },
    ...{ epochs: 2, stepsPerEpoch: 3, batchSize: 8 },
    position: { epoch: 0, step: 0, globalStep: 0 },
    batches: async function* (epoch, from) {
      for (let step = from; step < 3; step++) {
        now += 100;
        yield `${epoch}/${step}`;
      }
    },
    feeds: (batch, at) => {
      moments.push(at);
      return { [batch]: value(0) };
    },
    rate: ({ epoch, step }) => 10 * epoch + step,
    clock: () => now,
    diverged: (loss, { globalStep }) => new Error(`${loss} at ${globalStep}`),
    onStep: (info) => {
      infos.push(info);
      log.push(`end ${info.at.globalStep}`);
    },
    ...changes,
  });
  return { session, log, moments, infos, ends };
}

const going = { stop: { requested: false }, onEpoch: async () => undefined };
const nan = (at: number) => ({
  step: async (_: object, __: number, count: number) => ({ loss: value(count === at ? Number.NaN : count) }),
});

describe('a run', () => {
  it('takes each step once, with its batch, rate and place, and tells epochs their means', async () => {
    const { session, log, moments, infos } = played();
    const means: number[][] = [];
    const done = await runSession(session, {
      ...going,
      onEpoch: async (epoch, { step, globalStep, meters }) => {
        means.push([epoch, step, globalStep, meters.loss.average, meters.acc1!.last]);
      },
    });
    expect(done).toBe(true);
    expect(log).toEqual(
      ['0/0 0', '0/1 1', '0/2 2', '1/0 10', '1/1 11', '1/2 12'].flatMap((text, i) => [
        `begin ${i} ${text}`,
        `end ${i}`,
      ]),
    );
    expect(moments.at(-1)).toEqual({ epoch: 1, step: 2, globalStep: 5, progress: (1 + 2 / 3) / 2 });
    // The mean of 0, 1, 2 and of 3, 4, 5.
    expect(means).toEqual([
      [1, 3, 3, 1, 4],
      [2, 3, 6, 4, 10],
    ]);
    expect(session.record()).toEqual({ losses: [0, 1, 2, 3, 4, 5] });
    expect(infos[3]!.progress).toMatchObject({ epoch: 1, epochs: 2, step: 1, steps: 3, globalStep: 4 });
    expect(infos[3]!.metrics).toEqual({ loss: 3, acc1: 6 });
  });

  it('goes on as all agree who share it: at their progress, and beyond its own end', async () => {
    const { session, moments } = played({ epochs: 1 });
    const own: unknown[] = [];
    const agreed = [0.5, 0.25, 0.125, 0.0625];
    const done = await runSession(session, {
      ...going,
      agree: async (next) => {
        own.push(next);
        const progress = agreed[own.length - 1];
        return { goesOn: progress !== undefined, progress: progress ?? 0 };
      },
    });
    expect(moments.map(({ progress }) => progress)).toEqual(agreed);
    expect(own).toEqual([
      { goesOn: true, progress: 0 },
      { goesOn: true, progress: 1 / 3 },
      { goesOn: true, progress: 2 / 3 },
      { goesOn: false, progress: 0 },
      { goesOn: false, progress: 0 },
    ]);
    expect(done).toBe(true);
    expect(session.position).toEqual({ epoch: 1, step: 1, globalStep: 4 });
  });

  it('ends before its own end where all agree on that', async () => {
    const { session, log } = played();
    let asked = 0;
    const agree = async () => ({ goesOn: ++asked < 3, progress: 0 });
    expect(await runSession(session, { ...going, agree })).toBe(false);
    expect(log.filter((line) => line.startsWith('begin'))).toHaveLength(2);
  });

  it('measures steps and the wait for their batches by the clock', async () => {
    const { session, infos } = played();
    await runSession(session, going);
    // The first batch is asked for by its step, each other one as soon as the one before is there: step 0 lasts 100 + 100 + 10 ms.
    expect(infos[0]).toMatchObject({ waited: 0.1, seconds: 0.21 });
    expect(infos[1]).toMatchObject({ waited: 0, seconds: 0.11 });
    expect(infos[1]!.progress).toMatchObject({ rate: 8 / 0.16, etaSeconds: expect.closeTo(4 * 0.16, 9) });
  });

  it('stops between steps, and goes on in mid-epoch with the means that it would have had', async () => {
    const stop = { requested: false };
    const onStep = ({ at }: StepInfo) => {
      stop.requested = at.globalStep === 1;
    };
    const stopped = played({ onStep });
    expect(await runSession(stopped.session, { ...going, stop })).toBe(false);
    const { session: before } = stopped;
    expect(before.position).toEqual({ epoch: 0, step: 2, globalStep: 2 });
    const record = before.record();
    expect(record).toMatchObject({ losses: [0, 1], meters: { loss: { sum: 1, count: 2 } } });

    const { session, log } = played({ position: before.position, record });
    const means: number[] = [];
    const onEpoch = async (_: number, { meters }: StepInfo['progress']) => {
      means.push(meters.loss.average);
    };
    expect(await runSession(session, { ...going, onEpoch })).toBe(true);
    expect(log[0]).toBe('begin 2 0/2 2');
    expect(means).toEqual([1, 4]);
    expect(session.record().losses).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('takes no more than maxSteps, and saves every so many in mid-epoch, not at the end of one', async () => {
    const { session } = played();
    const [saved, epochs]: number[][] = [[], []];
    const control = {
      ...{ maxSteps: 5, saveEverySteps: 1 },
      save: async () => {
        saved!.push(session.position.globalStep);
      },
      onEpoch: async (epoch: number) => {
        epochs!.push(epoch);
      },
    };
    expect(await runSession(session, { ...going, ...control })).toBe(false);
    expect([saved, epochs]).toEqual([[1, 2, 4, 5], [1]]);
    expect(session.position).toEqual({ epoch: 1, step: 2, globalStep: 5 });
  });

  it('keeps the newest losses', async () => {
    const { session } = played({ epochs: 9 });
    await runSession(session, going);
    expect(session.record().losses).toEqual(Array.from({ length: 20 }, (_, i) => 7 + i));
  });
});

describe('overlapping', () => {
  it('begins a step before the metrics of the last, no more, and books in order', async () => {
    const { session, log, ends } = played({ overlapping: true }, [0]);
    const running = runSession(session, going);
    await expect.poll(() => log.length).toBe(2);
    ends.get(0)!();
    expect(await running).toBe(true);
    const at = (text: string) => log.findIndex((line) => line.startsWith(text));
    for (let i = 0; i < 5; i++) expect(at(`end ${i}`)).toBeLessThan(at(`end ${i + 1}`));
    expect([at('begin 1'), at('end 0')]).toEqual([1, 2]);
    for (let i = 2; i < 6; i++) expect(at(`begin ${i}`)).toBeGreaterThan(at(`end ${i - 2}`));
  });

  it('saves, and ends an epoch, when all steps so far are booked', async () => {
    const { session } = played({ overlapping: true });
    const booked: number[] = [];
    const note = async () => {
      expect(session.record().losses).toHaveLength(session.position.globalStep);
      booked.push(session.position.globalStep);
    };
    await runSession(session, { ...going, saveEverySteps: 2, save: note, onEpoch: note });
    expect(booked).toEqual([2, 3, 4, 6]);
  });

  it('with a step that fails, what began behind it is of another training', async () => {
    const { session, ends } = played({ overlapping: true }, [0, 1]);
    const [first, second] = [await session.begin(), await session.begin()];
    const failures = [first, second].map((step) => step!.result.catch((error: Error) => error.message));
    await expect.poll(() => ends.size).toBe(2);
    ends.get(0)!(new Error('lost'));
    ends.get(1)!();
    expect(await Promise.all(failures)).toEqual(['lost', 'lost']);
    expect(session.broken).toBe(true);
    await expect(session.begin()).rejects.toThrow('lost');
    await expect(session.settle()).rejects.toThrow('lost');
  });
});

describe('a fault', () => {
  it('of the loss ends it, once for all', async () => {
    const { session } = played({ trainer: nan(4) });
    await expect(runSession(session, going)).rejects.toThrow('NaN at 4');
    expect(session.broken).toBe(true);
    expect(session.record().losses).toEqual([0, 1, 2, 3]);
    await expect(session.begin()).rejects.toThrow('NaN at 4');
  });

  it('of a step leaves the state as it was: the same batch is taken again', async () => {
    const { session, ends, log } = played({}, [1]);
    await (await session.begin())!.result;
    const failed = await session.begin();
    await expect.poll(() => ends.size).toBe(1);
    ends.get(1)!(new Error('no memory'));
    await expect(failed!.result).rejects.toThrow('no memory');
    await session.settle();
    expect(session.position).toEqual({ epoch: 0, step: 1, globalStep: 1 });
    const again = await session.begin();
    expect(again).toMatchObject({ batch: '0/1', at: { globalStep: 1 } });
    await expect.poll(() => log.filter((line) => line.startsWith('begin 1')).length).toBe(2);
    ends.get(1)!();
    await again!.result;
    expect((await session.begin())!.batch).toBe('0/2');
  });

  it('of the data is met at its own step', async () => {
    const { session, log } = played({
      batches: async function* () {
        yield 'good';
        throw new Error('too many damaged images');
      },
    });
    await expect(runSession(session, going)).rejects.toThrow('too many damaged images');
    expect(log).toEqual(['begin 0 good 0', 'end 0']);
  });
});
