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

it('what is read stays until it has come, whatever runs next', async () => {
  // tfjs keeps less than 1,000 values on the CPU, where none of this could fail.
  const size = 8192;
  const graph = trace((builder) => ({ next: add(builder.input('w', [size]), builder.input('x', [size])) }));
  const backend = await webgpuPlugin.create({});
  const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next' }] });
  const filled = (value: number) => tensor(new Float32Array(size).fill(value), [size]);
  await program.load({ w: filled(1) });
  const read = program.read();
  const run = program.run({ x: filled(2) });
  expect((await read).w!.data[size - 1]).toBe(1);
  await run;
  expect((await program.read()).w!.data[0]).toBe(3);
  await program.dispose();
  await backend.dispose();
});
