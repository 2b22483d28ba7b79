import { expect, it } from 'vitest';
import { createGate } from './gate.ts';

/** Something under way that ends when told. */
function task() {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { act: () => ended, end };
}

it('the gate lets in what has room, in turn, and what is too heavy alone', async () => {
  const gate = createGate(10);
  const log: string[] = [];
  const begin = (name: string, weight: number) => {
    const { act, end } = task();
    const done = gate.run(weight, () => {
      log.push(name);
      return act();
    });
    return { end, done };
  };
  const [a, b, c, d] = [begin('a', 6), begin('b', 6), begin('c', 3), begin('d', 99)];
  await Promise.resolve();
  // c would fit, but b came before.
  expect(log).toEqual(['a']);
  a.end();
  await a.done;
  await Promise.resolve();
  expect(log).toEqual(['a', 'b', 'c']);
  b.end();
  await b.done;
  expect(log).toEqual(['a', 'b', 'c']);
  c.end();
  await c.done;
  await Promise.resolve();
  expect(log).toEqual(['a', 'b', 'c', 'd']);
  d.end();
  await d.done;
});

it('the gate lets the next in after a failure', async () => {
  const gate = createGate(1);
  await expect(gate.run(1, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await gate.run(1, async () => 'next')).toBe('next');
});
