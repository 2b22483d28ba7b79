import {
  add,
  type Backend,
  interpret,
  matmul,
  mul,
  rng,
  sum,
  type Tensor,
  tensor,
  trace,
} from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tfjsPlugin } from './plugin.ts';

const graph = trace((builder) => {
  const [p, x] = [builder.input('p', [4, 4]), builder.input('x', [4, 4])];
  const next = add(mul(p, 0.5), matmul(x, p));
  return { 'next.p': next, again: next, total: sum(next, [0, 1]) };
});
const state = [{ input: 'p', output: 'next.p' }];

function drawn(name: string): Tensor {
  const random = rng(0, name);
  return tensor(
    Float32Array.from({ length: 16 }, () => random.normal()),
    [4, 4],
  );
}

let backends: Backend[];
beforeAll(async () => {
  backends = [await tfjsPlugin.create({ device: 'cpu' }), await tfjsPlugin.create({ device: 'wasm' })];
});
afterAll(async () => {
  for (const backend of backends) await backend.dispose();
});

describe('programs', () => {
  it('keep no tensor but their state from run to run', async () => {
    for (const backend of backends) {
      const before = tf.memory().numTensors;
      const program = await backend.compile(graph, { state });
      await program.load({ p: drawn('p') });
      const counts: number[] = [];
      for (let i = 0; i < 4; i++) {
        await program.run({ x: drawn(`x${i}`) });
        counts.push(tf.memory().numTensors - before);
      }
      expect(counts).toEqual([1, 1, 1, 1]);
      await program.dispose();
      expect(tf.memory().numTensors).toBe(before);
    }
  });
  it('free what a run that fails has made', async () => {
    const program = await backends[0]!.compile(graph, { state });
    await program.load({ p: drawn('p') });
    const before = tf.memory().numTensors;
    await expect(program.run({})).rejects.toThrow(/no value was given for the input "x"/);
    expect(tf.memory().numTensors).toBe(before);
    await program.dispose();
  });
  it('of two devices run at the same time', async () => {
    const programs = await Promise.all(backends.map((backend) => backend.compile(graph, { state })));
    await Promise.all(programs.map((program) => program.load({ p: drawn('p') })));
    let p = drawn('p');
    for (let i = 0; i < 3; i++) {
      const feeds = { x: drawn(`x${i}`) };
      const expected = interpret(graph, { p, ...feeds });
      for (const { total, again } of await Promise.all(programs.map((program) => program.run(feeds)))) {
        expect(total!.data[0]).toBeCloseTo(expected.total!.data[0]!, 4);
        again!.data.forEach((value, at) => {
          expect(value).toBeCloseTo(expected.again!.data[at]!, 4);
        });
      }
      p = (await programs[0]!.read()).p!;
    }
    for (const program of programs) await program.dispose();
  });
});

describe('devices', () => {
  it('that are unknown are refused, with the known ones', async () => {
    await expect(tfjsPlugin.create({ device: 'abacus' })).rejects.toThrow(
      /no device "abacus"; known are: cpu, wasm/,
    );
  });
});
