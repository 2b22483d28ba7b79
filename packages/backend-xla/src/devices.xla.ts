/** Which devices compute, and that all of them do; the kit's suite of replicas has the rest. */
import {
  add,
  allGather,
  allReduce,
  type Backend,
  cast,
  type Graph,
  gradients,
  interpretReplicas,
  mean,
  mul,
  ownRows,
  replicaIndex,
  rng,
  sum,
  type Tensor,
  type Tensors,
  tensor,
  trace,
} from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { xlaPlugin } from './plugin.ts';

const open = (devices?: unknown): Promise<Backend> =>
  xlaPlugin.create({ device: process.env.MOCO_XLA!, devices });

const random = (purpose: string, shape: readonly number[], replica: number): Tensor => {
  const { normal } = rng(0, purpose, replica);
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal), shape);
};

/** Rows of each replica, one behind the other. */
function together(parts: readonly Tensor[]): Tensor {
  const [{ shape, dtype }] = parts as [Tensor];
  const data = tensor(
    parts.flatMap((part) => [...part.data]),
    [shape[0]! * parts.length, ...shape.slice(1)],
    dtype,
  );
  return data;
}

describe.each([
  ['all', 4],
  ['8', 8],
  ['2,0,1', 3],
])('devices %s', (devices, replicas) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open(devices);
  });
  afterAll(() => backend.dispose());

  it('are as many replicas', () => {
    expect(backend.replicas).toBe(replicas);
    expect(backend.device).toContain(`${replicas} x cpu`);
  });

  it('sum, gather and know their numbers, as the oracle does', async () => {
    const types = { a: [3, 2], b: [1], codes: [2], bytes: [2, 2] };
    const graph = trace((builder) => {
      const [a, b] = [builder.input('a', types.a), builder.input('b', types.b)];
      const [codes, bytes] = [builder.input('codes', [2], 'int32'), builder.input('bytes', [2, 2], 'uint8')];
      const [sumA, scalar] = allReduce([a, sum(mul(b, b))], replicas) as [typeof a, typeof a];
      const rows = allGather(a, replicas);
      const index = replicaIndex(builder, replicas);
      return {
        ...{ sumA, scalar, rows, codes: allGather(codes, replicas), bytes: allGather(bytes, replicas) },
        ...{
          index,
          indices: allGather(add(b, cast(index, 'float32')), replicas),
          own: ownRows(rows, replicas),
        },
      };
    });
    const feeds = Array.from({ length: replicas }, (_, replica) => ({
      ...{ a: random('a', types.a, replica), b: random('b', types.b, replica) },
      codes: tensor([replica, -replica], [2], 'int32'),
      bytes: tensor([replica, 255, 0, 1], [2, 2], 'uint8'),
    }));
    const [expected] = interpretReplicas(graph, feeds);
    const names = ['a', 'b', 'codes', 'bytes'] as const;
    const program = await backend.compile(graph);
    const results = await program.run(
      Object.fromEntries(names.map((name) => [name, together(feeds.map((feed) => feed[name]))])),
    );
    await program.dispose();
    for (const [name, { data, shape }] of Object.entries(expected!)) {
      expect(results[name]!.shape, name).toEqual(shape);
      expect(
        [...results[name]!.data].map((value, i) => Math.abs(value - data[i]!) < 1e-5),
        name,
      ).not.toContain(false);
    }
  });

  it('keep one state: each learns from its rows, and all by the mean of their gradients', async () => {
    const graph = trace((builder) => {
      const [w, x, rate] = [builder.input('w', [2]), builder.input('x', [1, 2]), builder.input('rate', [])];
      const loss = mean(mul(mul(w, w), x));
      const [gradient] = gradients(loss, [w]);
      const [total, summed] = allReduce([loss, gradient!], replicas) as [typeof w, typeof w];
      return {
        loss: mul(total, 1 / replicas),
        'next.w': add(w, mul(mul(summed, -1 / replicas), rate)),
        rows: allGather(w, replicas),
      };
    });
    const program = await backend.compile(graph, { state: [{ input: 'w', output: 'next.w' }] });
    await program.load({ w: tensor([1, 2], [2]) });
    // Row r of x is [r, 1], whose mean is [(R - 1) / 2, 1]: w' = w (1 - rate mean(x)), as the loss is a mean of two.
    const x = together(Array.from({ length: replicas }, (_, replica) => tensor([replica, 1], [1, 2])));
    const between = (replicas - 1) / 2;
    const first = await program.run({ x, rate: tensor([0.5], []) });
    expect(first.loss!.data[0]).toBeCloseTo((between + 4) / 2, 5);
    const [a, b] = [1 - 0.5 * between, 1];
    expect([...(await program.read()).w!.data]).toEqual([a, b]);
    const { rows } = await program.run({ x, rate: tensor([0], []) });
    expect([...rows!.data]).toEqual(Array(replicas).fill([a, b]).flat());
    await program.dispose();
  });
});

/** y = x + x of one replica, for which one device is enough. */
const alone: Graph = trace((builder) => {
  const x = builder.input('x', [2]);
  return { y: add(x, x) };
});
const doubled = async (backend: Backend, feeds: Tensors) => {
  const program = await backend.compile(alone);
  const { y } = await program.run(feeds);
  await program.dispose();
  return [...y!.data];
};

it('what has nothing between replicas runs on one device, whichever that is', async () => {
  for (const devices of [undefined, 3, '1,2', [5]]) {
    const backend = await open(devices);
    expect(await doubled(backend, { x: tensor([1, 2], [2]) })).toEqual([2, 4]);
    // It is of one replica: there are no rows of others to leave out.
    await expect(doubled(backend, { x: tensor([1, 2, 3, 4, 5, 6], [6]) })).rejects.toThrow(/"x" should be/);
    await backend.dispose();
  }
});

it('a graph of other replicas than there are devices is refused', async () => {
  const graph = trace((builder) => ({ y: allReduce([builder.input('x', [2])], 2)[0]! }));
  for (const [devices, words] of [
    [1, 'which nothing joins here'],
    [3, 'each on a device, and 3 devices compute'],
  ] as const) {
    const backend = await open(devices);
    await expect(backend.compile(graph)).rejects.toThrow(`the graph is of 2 replicas, ${words}`);
    await backend.dispose();
  }
});

it('of a CPU wait for each other for a day, unless the user says how long', async () => {
  const before = process.env.XLA_FLAGS;
  for (const said of ['', '--xla_cpu_collective_call_terminate_timeout_seconds=7']) {
    process.env.XLA_FLAGS = said;
    await (await open(1)).dispose();
    expect(process.env.XLA_FLAGS).toBe(said);
    for (const devices of [2, 'all']) await (await open(devices)).dispose();
    const day = ['warn_stuck', 'terminate'].map(
      (what) => `--xla_cpu_collective_call_${what}_timeout_seconds=86400`,
    );
    expect(process.env.XLA_FLAGS).toBe([...day, said].join(' ').trim());
  }
  process.env.XLA_FLAGS = before ?? '';
});
