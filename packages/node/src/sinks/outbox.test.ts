import { describe, expect, it } from 'vitest';
import { createOutbox, Refused } from './outbox.ts';

/** An outbox of numbers, to a server that does as `answer` says. */
function outbox(answer: (items: readonly number[], signal: AbortSignal) => Promise<void>, capacity = 1000) {
  const failures: string[] = [];
  const box = createOutbox<number>({
    ...{ deliver: answer, batch: 3, capacity, pause: 1 },
    onFailure: ({ message }) => failures.push(message),
  });
  return { box, failures };
}

const patient = 1e6;

describe('an outbox', () => {
  it('delivers everything in order, no more at once than a batch', async () => {
    const batches: number[][] = [];
    const { box } = outbox(async (items) => void batches.push([...items]));
    for (let i = 0; i < 8; i++) box.push(i);
    expect(await box.close(patient)).toBe(0);
    expect(batches.flat()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(Math.max(...batches.map(({ length }) => length))).toBe(3);
  });

  it('sends again what was not taken, in order', async () => {
    const taken: number[] = [];
    let calls = 0;
    const { box, failures } = outbox(async (items) => {
      calls++;
      if (calls % 2 === 1) throw new Error('busy');
      taken.push(...items);
    });
    for (let i = 0; i < 7; i++) box.push(i);
    expect(await box.close(patient)).toBe(0);
    expect(taken).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(failures.length).toBe(3);
  });

  it('loses what is refused, and nothing else', async () => {
    const taken: number[] = [];
    const { box } = outbox(async (items) => {
      if (items.includes(4)) throw new Refused('4 is no number');
      taken.push(...items);
    });
    for (let i = 0; i < 9; i++) box.push(i);
    const lost = await box.close(patient);
    expect([...taken].length + lost).toBe(9);
    expect(taken).not.toContain(4);
    expect(lost).toBeLessThanOrEqual(3);
  });

  it('keeps the newest where a server takes nothing, and gives up when it closes', async () => {
    const asked: number[] = [];
    const { box } = outbox(async (items) => {
      asked.push(...items);
      throw new Error('down');
    }, 5);
    for (let i = 0; i < 100; i++) box.push(i);
    expect(await box.close(patient)).toBe(100);
    expect(asked.at(0)).toBe(95);
  });

  it('waits for a server that never answers as long as it is told, not longer', async () => {
    const { box, failures } = outbox(
      (_, signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('given up')))),
    );
    for (let i = 0; i < 10; i++) box.push(i);
    expect(await box.close(20)).toBe(10);
    expect(failures).toEqual([]);
  });
});
