import { add, mul, tensor, trace } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { webgpuPlugin } from './plugin.ts';

it('runs may begin before the results of the last have come: state is replaced in the order of the calls', async () => {
  const graph = trace((builder) => {
    const next = add(mul(builder.input('w', [2]), 2), builder.input('x', [2]));
    return { next, seen: next };
  });
  const backend = await webgpuPlugin.create({});
  expect(backend.capabilities().overlapping).toBe(true);
  const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next' }] });
  await program.load({ w: tensor([1, 0], [2]) });
  const runs = [1, 10, 100].map((value) => program.run({ x: tensor([value, value], [2]) }));
  const results = await Promise.all(runs);
  expect(results.map(({ seen }) => [...seen!.data])).toEqual([
    [3, 1],
    [16, 12],
    [132, 124],
  ]);
  await program.dispose();
  await backend.dispose();
});
