import { add, mul, tensor, trace } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { tfjsPlugin } from './plugin.ts';

/** w' = 2 w + x, and is seen. */
const graph = trace((builder) => {
  const next = add(mul(builder.input('w', [2]), 2), builder.input('x', [2]));
  return { next, seen: next };
});

describe.each(['cpu', 'wasm'] as const)('runs on tfjs:%s that begin before the last one ended', (device) => {
  it('replace the state in the order of the calls, and each has its own results', async () => {
    const backend = await tfjsPlugin.create({ device });
    const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next' }] });
    await program.load({ w: tensor([1, 0], [2]) });
    const x = (value: number) => ({ x: tensor([value, value], [2]) });
    const results = await Promise.all([1, 10, 100].map((value) => program.run(x(value))));
    expect(results.map(({ seen }) => [...seen!.data])).toEqual([
      [3, 1],
      [16, 12],
      [132, 124],
    ]);
    expect([...(await program.read()).w!.data]).toEqual([132, 124]);
    await program.dispose();
    await backend.dispose();
  });

  it('are seen by what is read after their call', async () => {
    const backend = await tfjsPlugin.create({ device });
    const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next' }] });
    await program.load({ w: tensor([1, 0], [2]) });
    const runs = [1, 10].map((value) => program.run({ x: tensor([value, value], [2]) }));
    expect([...(await program.read()).w!.data]).toEqual([16, 12]);
    await Promise.all(runs);
    await program.dispose();
    await backend.dispose();
  });

  it('fail alone', async () => {
    const backend = await tfjsPlugin.create({ device });
    const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next' }] });
    await program.load({ w: tensor([1, 0], [2]) });
    const [bad, good] = [program.run({}), program.run({ x: tensor([1, 1], [2]) })];
    await expect(bad).rejects.toThrow(/"x"/);
    expect([...(await good).seen!.data]).toEqual([3, 1]);
    await program.dispose();
    await backend.dispose();
  });
});
