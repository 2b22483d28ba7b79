/** Who owns what: state between runs, feeds, and what is returned. */
import {
  add,
  conv2d,
  type Graph,
  mul,
  type Program,
  type StateSlot,
  type Tensors,
  tensor,
  trace,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { clone, expectSameBits } from './compare.ts';
import type { Subject } from './subject.ts';

/** w' = w + x, count' = count + 1; `fixed` is read alone; `y` = (w + x) fixed; `a` and `b` change places. */
const graph: Graph = trace((builder) => {
  const w = builder.input('w', [2, 3]);
  const count = builder.input('count', []);
  const fixed = builder.input('fixed', [3]);
  const a = builder.input('a', [2]);
  const b = builder.input('b', [2]);
  const x = builder.input('x', [2, 3]);
  const next = add(w, x);
  return { next, counted: add(count, 1), y: mul(next, fixed), nextA: b, nextB: a, seen: next };
});
const state: readonly StateSlot[] = [
  { input: 'w', output: 'next' },
  { input: 'count', output: 'counted' },
  { input: 'fixed' },
  { input: 'a', output: 'nextA' },
  { input: 'b', output: 'nextB' },
];
const start = (): Record<string, ReturnType<typeof tensor>> => ({
  w: tensor([1, 2, 3, 4, 5, 6], [2, 3]),
  count: tensor([0], []),
  fixed: tensor([1, 10, 100], [3]),
  a: tensor([1, 2], [2]),
  b: tensor([3, 4], [2]),
});
const feed = (value: number): Tensors => ({ x: tensor(Array(6).fill(value), [2, 3]) });
const numbers = (tensors: Tensors, name: string) => [...tensors[name]!.data];

type WithProgram = (body: (program: Program) => Promise<void>) => Promise<void>;

export function testState(subject: Subject): void {
  const withProgram: WithProgram = async (body) => {
    const program = await subject().compile(graph, { state });
    try {
      await body(program);
    } finally {
      await program.dispose();
    }
  };
  describe('state', () => testCarriedState(withProgram));
  describe('buffers', () => testBuffers(withProgram));
  describe('feeds', () => testFeeds(withProgram, subject));
}

function testCarriedState(withProgram: WithProgram): void {
  it('is carried from run to run', () =>
    withProgram(async (program) => {
      await program.load(start());
      const first = await program.run(feed(1));
      expect(Object.keys(first).sort()).toEqual(['seen', 'y']);
      expect(numbers(first, 'y')).toEqual([2, 30, 400, 5, 60, 700]);
      expect(numbers(first, 'seen')).toEqual([2, 3, 4, 5, 6, 7]);
      const second = await program.run(feed(10));
      expect(numbers(second, 'y')).toEqual([12, 130, 1400, 15, 160, 1700]);
      const after = await program.read();
      expect(Object.keys(after).sort()).toEqual(['a', 'b', 'count', 'fixed', 'w']);
      expect(numbers(after, 'w')).toEqual([12, 13, 14, 15, 16, 17]);
      expect(after.w!.shape).toEqual([2, 3]);
      expect(after.w!.dtype).toBe('float32');
      expect(numbers(after, 'count')).toEqual([2]);
    }));
  it('keeps its value where a slot has no output', () =>
    withProgram(async (program) => {
      await program.load(start());
      for (let i = 0; i < 3; i++) await program.run(feed(i));
      expect(numbers(await program.read(['fixed']), 'fixed')).toEqual([1, 10, 100]);
    }));
  it('may change places', () =>
    withProgram(async (program) => {
      await program.load(start());
      for (let i = 0; i < 3; i++) await program.run(feed(0));
      const after = await program.read(['a', 'b']);
      expect(Object.keys(after).sort()).toEqual(['a', 'b']);
      expect([numbers(after, 'a'), numbers(after, 'b')]).toEqual([
        [3, 4],
        [1, 2],
      ]);
    }));
  it('is read as it was loaded', () =>
    withProgram(async (program) => {
      await program.load(start());
      expectSameBits(await program.read(), start());
    }));
  it('may be loaded in part', () =>
    withProgram(async (program) => {
      await program.load(start());
      await program.run(feed(1));
      await program.load({ count: tensor([40], []), a: tensor([7, 8], [2]) });
      await program.run(feed(1));
      const after = await program.read();
      expect(numbers(after, 'count')).toEqual([41]);
      expect(numbers(after, 'w')).toEqual([3, 4, 5, 6, 7, 8]);
      expect(numbers(after, 'b')).toEqual([7, 8]);
      expect(numbers(after, 'a')).toEqual([1, 2]);
    }));
  it('must be loaded before a run', () =>
    withProgram(async (program) => {
      const { w, ...rest } = start();
      await program.load(rest);
      await expect(program.run(feed(1))).rejects.toThrow(/w/);
      await program.load({ w: w! });
      await expect(program.run(feed(1))).resolves.toBeDefined();
    }));
  it('is counted', () =>
    withProgram(async (program) => {
      await program.load(start());
      const bytes = Object.values(start()).reduce((total, { data }) => total + data.byteLength, 0);
      expect(program.memory.stateBytes).toBeGreaterThanOrEqual(bytes);
    }));
  it('of two programs is apart', () =>
    withProgram((one) =>
      withProgram(async (other) => {
        await one.load(start());
        await other.load(start());
        await one.run(feed(5));
        await other.run(feed(7));
        expect(numbers(await one.read(), 'w')).toEqual([6, 7, 8, 9, 10, 11]);
        expect(numbers(await other.read(), 'w')).toEqual([8, 9, 10, 11, 12, 13]);
      }),
    ));
}

function testBuffers(withProgram: WithProgram): void {
  it('given are not changed, and may be changed afterwards', () =>
    withProgram(async (program) => {
      const [loaded, fed] = [start(), feed(1)];
      await program.load(loaded);
      await program.run(fed);
      expectSameBits(loaded, start());
      expectSameBits({ ...fed }, { ...feed(1) });
      for (const { data } of [...Object.values(loaded), ...Object.values(fed)]) data.fill(-99);
      await program.run(feed(1));
      const after = await program.read();
      expect(numbers(after, 'w')).toEqual([3, 4, 5, 6, 7, 8]);
      expect(numbers(after, 'fixed')).toEqual([1, 10, 100]);
    }));
  it("returned are the caller's: later runs don't change them", () =>
    withProgram(async (program) => {
      await program.load(start());
      const first = await program.run(feed(1));
      const read = await program.read();
      const [firstCopy, readCopy] = [clone(first), clone(read)];
      await program.run(feed(1));
      await program.run(feed(1));
      expectSameBits(first, firstCopy);
      expectSameBits(read, readCopy);
    }));
  it("returned are the caller's: changing them changes no state", () =>
    withProgram(async (program) => {
      await program.load(start());
      const outputs = await program.run(feed(1));
      for (const { data } of [...Object.values(outputs), ...Object.values(await program.read())])
        data.fill(-99);
      await program.run(feed(1));
      expect(numbers(await program.read(), 'w')).toEqual([3, 4, 5, 6, 7, 8]);
      expect(numbers(await program.read(), 'fixed')).toEqual([1, 10, 100]);
    }));
}

function testFeeds(withProgram: WithProgram, subject: Subject): void {
  it('must be given', () =>
    withProgram(async (program) => {
      await program.load(start());
      await expect(program.run({})).rejects.toThrow(/x/);
    }));
  it('must have their shape', () =>
    withProgram(async (program) => {
      await program.load(start());
      await expect(program.run({ x: tensor([1, 2], [2]) })).rejects.toThrow(/x/);
    }));
  it.each([16, 5])('a filter of %i channels keeps its layout as state', async (c) => {
    const size = 16 * c * 9;
    const w = tensor(
      Array.from({ length: size }, (_, i) => i - size / 2),
      [16, c, 3, 3],
    );
    const step = trace((builder) => {
      const filter = builder.input('w', [16, c, 3, 3]);
      const x = builder.input('x', [2, c, 4, 4]);
      return { y: conv2d(x, filter, { padding: 1 }), next: mul(filter, 2) };
    });
    const program = await subject().compile(step, { state: [{ input: 'w', output: 'next' }] });
    try {
      await program.load({ w });
      expectSameBits(await program.read(), { w });
      await program.run({ x: tensor(new Float32Array(2 * c * 16), [2, c, 4, 4]) });
      expectSameBits(await program.read(), {
        w: tensor(
          Float32Array.from(w.data, (x) => 2 * x),
          w.shape,
        ),
      });
    } finally {
      await program.dispose();
    }
  });
  it('and outputs may be one value', async () => {
    const same = trace((builder) => {
      const x = builder.input('x', [3]);
      return { y: x, z: x, constant: builder.constant(4) };
    });
    const program = await subject().compile(same);
    try {
      const outputs = await program.run({ x: tensor([1, 2, 3], [3]) });
      expect([numbers(outputs, 'y'), numbers(outputs, 'z'), numbers(outputs, 'constant')]).toEqual([
        [1, 2, 3],
        [1, 2, 3],
        [4],
      ]);
      outputs.y!.data.fill(0);
      expect(numbers(outputs, 'z')).toEqual([1, 2, 3]);
    } finally {
      await program.dispose();
    }
  });
}
