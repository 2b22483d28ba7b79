import { add, type Backend, conv2dFilterGrad, interpret, mul, rng, tensor, trace } from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ortPlugin } from './plugin.ts';

let backend: Backend;
beforeAll(async () => {
  backend = await ortPlugin.create({ threads: 2 });
});
afterAll(() => backend.dispose());

describe('state', () => {
  const graph = trace((builder) => {
    const [a, b] = [builder.input('a', [2]), builder.input('b', [2])];
    return { 'next.a': add(a, 1), 'next.b': mul(b, 2), sum: add(a, b) };
  });
  const state = [
    { input: 'a', output: 'next.a' },
    { input: 'b', output: 'next.b' },
  ];

  it('is untouched by a load that fails', async () => {
    const program = await backend.compile(graph, { state });
    await program.load({ a: tensor([1, 2], [2]), b: tensor([3, 4], [2]) });
    const short = { shape: [2], dtype: 'float32', data: new Float32Array(1) } as const;
    await expect(program.load({ a: tensor([9, 9], [2]), b: short })).rejects.toThrow(
      /"b" should have 2 values/,
    );
    expect([...(await program.read(['a'])).a!.data]).toEqual([1, 2]);
    await program.dispose();
  });
  it('is not given before it was loaded', async () => {
    const program = await backend.compile(graph, { state });
    await expect(program.read(['a'])).rejects.toThrow(/"a" was never loaded/);
    await program.dispose();
  });
  it('has one output for each input', async () => {
    const twice = [state[0]!, { input: 'b', output: 'next.a' }];
    await expect(backend.compile(graph, { state: twice })).rejects.toThrow(/named twice/);
  });
});

describe('the option block', () => {
  it('refuses a block that the probe did not find', async () => {
    await expect(ortPlugin.create({ block: 5 })).rejects.toThrow(/blocks of 5 channels/);
  });
});

describe('filter gradients of one input', () => {
  it('are kept apart when different strides leave the same number of rows', async () => {
    const [n, c] = [16, 16];
    const graph = trace((builder) => {
      const x = builder.input('x', [n, c, 4, 4]);
      const dy = builder.input('dy', [n, c, 2, 2]);
      const by = (stride: number) => conv2dFilterGrad(x, dy, [c, c, 1, 1], { stride });
      return { two: by(2), three: by(3) };
    });
    const random = rng(0, 'program.test');
    const drawn = (shape: readonly number[]) =>
      tensor(
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
        shape,
      );
    const feeds = { x: drawn([n, c, 4, 4]), dy: drawn([n, c, 2, 2]) };
    const program = await backend.compile(graph);
    const actual = await program.run(feeds);
    const expected = interpret(graph, feeds);
    for (const name of ['two', 'three'])
      actual[name]!.data.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[name]!.data[i]!, 4);
      });
    await program.dispose();
  });
});
