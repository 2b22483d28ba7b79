/** What is made is freed: buffers, events and executables are counted, and memory stays flat. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { add, allReduce, mean, mul, type Program, tensor, trace } from '@moco-ts/core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PjrtClient } from './pjrt/client.ts';
import { PjrtError, PjrtPlugin } from './pjrt/plugin.ts';
import { xlaPlugin } from './plugin.ts';
import { compileProgram } from './program.ts';

const none = { buffers: 0, events: 0, executables: 0 };
const size = 2 ** 14;
/** w' = w / 2 + x, and the mean over the replicas of the mean of w'. */
const graphOf = (replicas: number) =>
  trace((builder) => {
    const next = add(mul(builder.input('w', [size]), 0.5), builder.input('x', [size]));
    const own = mean(next, [0]);
    return { next, mean: replicas === 1 ? own : mul(allReduce([own], replicas)[0]!, 1 / replicas) };
  });
const filled = (value: number) => tensor(new Float32Array(size).fill(value), [size]);

let client: PjrtClient;
beforeAll(async () => {
  client = await PjrtClient.create(new PjrtPlugin(process.env.MOCO_XLA!));
});
afterAll(() => client.destroy());

async function withProgram(replicas: number, body: (program: Program) => Promise<void>): Promise<void> {
  expect(client.live).toEqual(none);
  const program = await compileProgram(client, graphOf(replicas), {
    state: [{ input: 'w', output: 'next' }],
  });
  await body(program);
  await program.dispose();
  expect(client.live).toEqual(none);
}

it.each([1, 4])('2,000 runs of %i replicas hold what the first one held, and no more memory', (replicas) =>
  withProgram(replicas, async (program) => {
    await program.load({ w: filled(0) });
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const x = filled(1);
    let early = 0;
    for (let i = 0; i < 2000; i++) {
      await program.run({ x });
      if (i === 499) {
        collect();
        early = process.memoryUsage.rss();
      }
    }
    expect(client.live).toEqual({ buffers: replicas, events: 0, executables: 1 });
    collect();
    // One vector kept from each of 1,500 runs would have six times as much.
    expect(process.memoryUsage.rss() - early).toBeLessThan((1500 * 4 * size) / 6);
    expect((await program.read()).w!.data[0]).toBeCloseTo(2, 5);
  }),
);

it.each([1, 4])(
  'runs of %i replicas may begin before the results of the last have come: state is replaced in the order of the calls',
  (replicas) =>
    withProgram(replicas, async (program) => {
      await program.load({ w: filled(4) });
      const runs = [1, 10, 100].map((value) => program.run({ x: filled(value) }));
      const read = program.read();
      const last = program.run({ x: filled(0) });
      expect((await Promise.all(runs)).map((results) => results.mean!.data[0])).toEqual([3, 11.5, 105.75]);
      expect((await read).w!.data[size - 1]).toBe(105.75);
      expect((await last).mean!.data[0]).toBe(52.875);
    }),
);

it.each([1, 4])(
  'what is refused holds nothing: state, feeds, modules; and what is freed twice is freed once (%i)',
  async (replicas) => {
    await withProgram(replicas, async (program) => {
      await expect(program.run({ x: filled(1) })).rejects.toThrow('never loaded');
      await expect(program.load({ w: tensor([1], [1]) })).rejects.toThrow(/w/);
      await program.load({ w: filled(0) });
      await expect(program.run({})).rejects.toThrow(/x/);
      await program.dispose();
    });
    await expect(client.compile('no module')).rejects.toThrow(PjrtError);
    expect(client.live).toEqual(none);
  },
);

it('a plugin that counts no memory is one of a backend that tells none', async () => {
  const backend = await xlaPlugin.create({ device: process.env.MOCO_XLA! });
  expect(backend.memory?.()).toBeUndefined();
  expect(backend.details).toContain('counts no memory');
  await backend.dispose();
});
