/** Replicas that a communicator joins, each in stages: the kit has what they compute, here is what they hold, and how they fail. */

import { memoryCommunicators } from '@moco-ts/backend-testing';
import {
  add,
  allGather,
  allReduce,
  BackendError,
  type Communicator,
  mean,
  mul,
  ownRows,
  type Program,
  sub,
  tensor,
  trace,
} from '@moco-ts/core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PjrtClient } from './pjrt/client.ts';
import { PjrtPlugin } from './pjrt/plugin.ts';
import { xlaPlugin } from './plugin.ts';
import { compileProgram } from './program.ts';

const replicas = 2;
const none = { buffers: 0, events: 0, executables: 0 };
/** x gathered and taken back as it was; w' = w - mean of x over all; `old` reads the old w behind the sum, v' = 2 v before it. */
const graph = trace((builder) => {
  const [w, v, x] = [builder.input('w', [2]), builder.input('v', [2]), builder.input('x', [2])];
  const own = ownRows(allGather(x, replicas), replicas);
  const doubled = mul(v, 2);
  const [sum] = allReduce([mul(add(own, doubled), 1 / replicas)], replicas);
  return { 'next.w': sub(w, sum!), 'next.v': doubled, old: add(w, mean(sum!, [0])), twice: doubled };
});
const state = ['w', 'v'].map((input) => ({ input, output: `next.${input}` }));

let client: PjrtClient;
beforeAll(async () => {
  client = await PjrtClient.create(new PjrtPlugin(process.env.MOCO_XLA!), {}, [0]);
});
afterAll(() => client.destroy());

const joined = (communicators: readonly Communicator[]) =>
  Promise.all(communicators.map((communicator) => compileProgram(client, graph, { state, communicator })));
const load = (programs: readonly Program[]) =>
  Promise.all(programs.map((program) => program.load({ w: tensor([1, 2], [2]), v: tensor([0, 1], [2]) })));
/** Replica r is fed [r, 10 r] times a factor. */
const run = (programs: readonly Program[], factor: number) =>
  Promise.all(programs.map((program, r) => program.run({ x: tensor([r * factor, 10 * r * factor], [2]) })));

it('runs that are called at once follow each other, and leave what was there before', async () => {
  const programs = await joined(memoryCommunicators(replicas));
  await load(programs);
  const [first, second, read] = await Promise.all([
    run(programs, 2),
    run(programs, 4),
    Promise.all(programs.map((program) => program.read())),
  ]);
  // Sums are [1, 10] + [0, 2], then [2, 20] + [0, 4].
  for (const { old, twice } of first) {
    expect([...old!.data]).toEqual([1 + 6.5, 2 + 6.5]);
    expect([...twice!.data]).toEqual([0, 2]);
  }
  for (const { old } of second) expect([...old!.data]).toEqual([0 + 13, -10 + 13]);
  for (const { w, v } of read) {
    expect([...w!.data]).toEqual([-2, -34]);
    expect([...v!.data]).toEqual([0, 4]);
  }
  for (let i = 0; i < 20; i++) await run(programs, 0);
  // Each has its two states; the sum's stages and the one behind are executables, the gather of what was given is none.
  expect(client.live).toEqual({ buffers: 2 * replicas, events: 0, executables: 2 * replicas });
  await Promise.all(programs.map((program) => program.dispose()));
  expect(client.live).toEqual(none);
});

it('where the others are lost, so is the state, which is said; loaded again it goes on', async () => {
  let broken = true;
  const whole = memoryCommunicators(replicas);
  const programs = await joined(
    whole.map((communicator) => ({
      ...communicator,
      allReduce: async (values) => {
        if (broken) throw new BackendError('rank 1 is gone');
        return communicator.allReduce(values);
      },
    })),
  );
  await load(programs);
  await Promise.all(
    programs.map((program, r) =>
      expect(program.run({ x: tensor([r, r], [2]) })).rejects.toThrow('rank 1 is gone'),
    ),
  );
  for (const program of programs)
    await expect(program.read()).rejects.toThrow('lost by a run that failed: rank 1 is gone');
  expect(client.live).toEqual({ ...none, executables: 2 * replicas });
  broken = false;
  await load(programs);
  for (const { twice } of await run(programs, 1)) expect([...twice!.data]).toEqual([0, 2]);
  await Promise.all(programs.map((program) => program.dispose()));
  expect(client.live).toEqual(none);
});

it('a value that is exchanged, given and read by a later stage is there for all three', async () => {
  const shared = trace((builder) => {
    const x = builder.input('x', [2]);
    const [doubled, tripled] = [mul(x, 2), mul(x, 3)];
    const [sum] = allReduce([doubled], replicas);
    const own = ownRows(allGather(tripled, replicas), replicas);
    return { doubled, tripled, all: add(add(sum!, own), add(doubled, tripled)) };
  });
  const programs = await Promise.all(
    memoryCommunicators(replicas).map((communicator) => compileProgram(client, shared, { communicator })),
  );
  const given = await run(programs, 1);
  // Of replica r, 8 [r, 10 r], and the sum of both replicas' doubled values, [2, 20].
  given.forEach(({ doubled, tripled, all }, r) => {
    expect([...doubled!.data]).toEqual([2 * r, 20 * r]);
    expect([...tripled!.data]).toEqual([3 * r, 30 * r]);
    expect([...all!.data]).toEqual([2 + 8 * r, 20 + 80 * r]);
  });
  expect(client.live.buffers).toBe(0);
  await Promise.all(programs.map((program) => program.dispose()));
  expect(client.live).toEqual(none);
});

it('a run that is refused changes nothing', async () => {
  const programs = await joined(memoryCommunicators(replicas));
  await load(programs);
  for (const program of programs) await expect(program.run({})).rejects.toThrow(/"x"/);
  for (const { old } of await run(programs, 0)) expect([...old!.data]).toEqual([2, 3]);
  await Promise.all(programs.map((program) => program.dispose()));
});

it('several devices in several processes are refused', async () => {
  const backend = await xlaPlugin.create({ device: process.env.MOCO_XLA!, devices: 4 });
  const [communicator] = memoryCommunicators(replicas);
  await expect(backend.compile(graph, { state, communicator: communicator! })).rejects.toThrow(
    'leave out devices, or start one process in place of 2',
  );
  await backend.dispose();
});
