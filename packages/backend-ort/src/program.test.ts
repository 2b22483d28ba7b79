import { memoryCommunicators } from '@moco-ts/backend-testing';
import {
  add,
  allReduce,
  type Backend,
  BackendError,
  type Communicator,
  conv2dFilterGrad,
  interpret,
  interpretReplicas,
  mul,
  rng,
  sub,
  sum,
  tensor,
  trace,
} from '@moco-ts/core';
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

describe('a step that fails between replicas', () => {
  it('loses what it replaced before, and says so until that is loaded again', async () => {
    const size = 64 * 64;
    const graph = trace((builder) => {
      const [k, w] = [builder.input('k', [64, 64]), builder.input('w', [64, 64])];
      const averaged = add(mul(k, 0.75), mul(w, 0.25));
      const summed = allReduce([add(averaged, w)], 2)[0]!;
      return { 'next.k': averaged, 'next.w': sub(w, summed) };
    });
    const state = ['k', 'w'].map((input) => ({ input, output: `next.${input}` }));
    const filled = (value: number) => tensor(new Float32Array(size).fill(value), [64, 64]);
    let lost = true;
    const communicator: Communicator = {
      rank: 0,
      size: 2,
      allGather: async (values, gathered) => {
        for (const at of [0, values.length]) (gathered as Float32Array).set(values as Float32Array, at);
      },
      allReduce: async () => {
        if (lost) throw new BackendError('replica 1 is lost');
      },
    };
    const program = await backend.compile(graph, { state, communicator });
    await program.load({ k: filled(2), w: filled(10) });
    await expect(program.run({})).rejects.toThrow('replica 1 is lost');
    await expect(program.read(['k'])).rejects.toThrow(/the state "k" was lost by a step that failed/);
    expect((await program.read(['w'])).w!.data[size - 1]).toBe(10);
    await expect(program.run({})).rejects.toThrow(/"k" was lost/);
    lost = false;
    await program.load({ k: filled(2) });
    await program.run({});
    const after = await program.read();
    // 3/4 2 + 1/4 10, and this replica's sum alone: 10 - (4 + 10).
    expect([after.k!.data[0], after.w!.data[size - 1]]).toEqual([4, -4]);
    await program.dispose();
  });
});

describe('replicas on different processors', () => {
  it('sum values in the plain order, which both have', async () => {
    const c = 16;
    const graph = trace((builder) => {
      const x = builder.input('x', [2, c, 4, 4]);
      const velocity = builder.input('velocity', [c, c, 3, 3]);
      const gradient = conv2dFilterGrad(x, x, [c, c, 3, 3], { padding: 1 });
      return { 'next.velocity': add(mul(velocity, 0.5), allReduce([gradient], 2)[0]!) };
    });
    const random = rng(0, 'program.test/blocks');
    const drawn = (...dims: number[]) =>
      tensor(
        Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => random.normal()),
        dims,
      );
    const velocity = drawn(c, c, 3, 3);
    const feeds = [drawn(2, c, 4, 4), drawn(2, c, 4, 4)].map((x) => ({ x }));
    const state = [{ input: 'velocity', output: 'next.velocity' }];
    const plain = await ortPlugin.create({ threads: 1, block: 0 });
    const programs = await Promise.all(
      memoryCommunicators(2).map((communicator, rank) =>
        (rank === 0 ? backend : plain).compile(graph, { state, communicator }),
      ),
    );
    await Promise.all(programs.map((program) => program.load({ velocity })));
    await Promise.all(programs.map((program, rank) => program.run(feeds[rank]!)));
    const [expected] = interpretReplicas(
      graph,
      feeds.map((own) => ({ ...own, velocity })),
    );
    for (const program of programs) {
      const read = await program.read();
      read.velocity!.data.forEach((value, i) => {
        expect(value).toBeCloseTo(expected!['next.velocity']!.data[i]!, 4);
      });
      await program.dispose();
    }
    await plain.dispose();
  });
});

describe('state that a stage replaces', () => {
  it('keeps its old value for a later stage that reads it', async () => {
    const graph = trace((builder) => {
      const [k, w] = [builder.input('k', [64, 64]), builder.input('w', [])];
      const averaged = add(mul(k, 0.75), mul(k, 0.5));
      const total = allReduce([sum(averaged, [0, 1])], 1)[0]!;
      return { 'next.k': averaged, y: sum(mul(k, mul(total, w)), [0, 1]) };
    });
    const [communicator] = memoryCommunicators(1);
    const state = [{ input: 'k', output: 'next.k' }];
    const program = await backend.compile(graph, { state, communicator: communicator! });
    await program.load({ k: tensor(new Float32Array(4096).fill(1), [64, 64]) });
    // The sum over the new value, 1.25, times that over the old one.
    for (const old of [1, 1.25]) {
      const { y } = await program.run({ w: tensor([1], []) });
      expect(y!.data[0]).toBe(4096 * 1.25 * old * 4096 * old);
    }
    await program.dispose();
  });
});

describe('memory between the stages of a step', () => {
  it('counts, and is taken again by what comes when it is read no more', async () => {
    const size = 1023;
    const chain = (length: number) =>
      trace((builder) => {
        let x = builder.input('x', [size]);
        for (let i = 0; i < length; i++) {
          const next = mul(x, 2);
          x = add(next, allReduce([sum(next)], 1)[0]!);
        }
        return { y: x };
      });
    const [communicator] = memoryCommunicators(1);
    const bytes = async (length: number) => {
      const program = await backend.compile(chain(length), { communicator: communicator! });
      const { stateBytes } = program.memory;
      const feeds = { x: tensor(new Float32Array(size).fill(1), [size]) };
      // Each time x becomes 2 x (size + 1).
      expect((await program.run(feeds)).y!.data[size - 1]).toBe((2 * (size + 1)) ** length);
      await program.dispose();
      return stateBytes;
    };
    // A sum of 4 bytes, and what is carried past it: one buffer is read while the other is written.
    expect([await bytes(1), await bytes(2), await bytes(4)]).toEqual([4096, 8192, 8200]);
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
