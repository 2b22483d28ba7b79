import { describe, expect, it } from 'vitest';
import type { Backend, CompileOptions, Program, Tensors } from '../backend.ts';
import type { Communicator } from '../communicator.ts';
import { allReduce } from '../graph/ops/collective.ts';
import { trace } from '../graph/trace.ts';
import { sgd } from '../optim/sgd.ts';
import { scalar, tensor } from '../tensor/tensor.ts';
import { microBatches, partOf } from './feeds.ts';
import type { TrainingStep } from './step.ts';
import { createTrainer } from './trainer.ts';

/** A step of pairs of rows `x`, and orders of `orders` images. */
function stepOf(orders: number, more: Partial<TrainingStep>): TrainingStep {
  const graph = trace((builder) => {
    const [x, perm] = [builder.input('x', [2, 1]), builder.input('perm', [orders], 'int32')];
    builder.input('lr', []);
    return { x: more.replicas ? allReduce([x], more.replicas)[0]! : x, perm };
  });
  return { graph, state: [], metrics: ['x'], optimizer: sgd(), ...more };
}
const counted = (count: number) => Array.from({ length: count }, (_, i) => i);
const feedsOf = (rows: number) => ({
  x: tensor(counted(rows), [rows, 1]),
  perm: tensor(counted(rows).reverse(), [rows], 'int32'),
  lr: scalar(0.5),
});
const numbers = (parts: readonly Tensors[], name: string) => parts.map((part) => [...part[name]!.data]);

describe('the feeds of an update', () => {
  it('of a process are its rows; orders of all images go to each', () => {
    const step = stepOf(6, { replicas: 3 });
    const parts = [0, 1, 2].map((rank) => microBatches(step, feedsOf(6), { rank, size: 3 })[0]!);
    expect(numbers(parts, 'x')).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(numbers(parts, 'perm')).toEqual(Array(3).fill([5, 4, 3, 2, 1, 0]));
    expect(parts.map((part) => Object.keys(part))).toEqual(Array(3).fill(['x', 'perm', 'lr']));
  });
  it('may be its rows already', () => {
    const { perm, lr } = feedsOf(6);
    const own = { x: tensor([7, 8], [2, 1]), perm, lr };
    const [part] = microBatches(stepOf(6, { replicas: 3 }), own, { rank: 1, size: 3 });
    expect(part).toEqual(own);
  });
  it('are cut into micro-batches of each process; orders are those of a micro-batch of all', () => {
    const step = stepOf(4, { replicas: 2, accumulate: 3 });
    const parts = [0, 1].map((rank) => microBatches(step, feedsOf(12), { rank, size: 2 }));
    expect(numbers(parts[0]!, 'x')).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(numbers(parts[1]!, 'x')).toEqual([
      [6, 7],
      [8, 9],
      [10, 11],
    ]);
    for (const own of parts)
      expect(numbers(own, 'perm')).toEqual([
        [11, 10, 9, 8],
        [7, 6, 5, 4],
        [3, 2, 1, 0],
      ]);
  });
  it('of a process with several replicas hold the rows of all of them, the same as with a process for each', () => {
    const step = stepOf(4, { replicas: 2, accumulate: 3 });
    const parts = microBatches(step, feedsOf(12));
    const types = Object.fromEntries(
      step.graph.inputs.map(({ name, value }) => [name, step.graph.values[value]!]),
    );
    for (const rank of [0, 1])
      expect(
        parts.map((part) =>
          Object.fromEntries(
            Object.entries(part).map(([name, feed]) => [
              name,
              partOf(feed, types[name]?.shape ?? [], rank, 2),
            ]),
          ),
        ),
      ).toEqual(microBatches(step, feedsOf(12), { rank, size: 2 }));
    expect(microBatches(stepOf(4, { replicas: 2 }), feedsOf(4))).toEqual([feedsOf(4)]);
  });
});

describe('a trainer of a replica', () => {
  const compiled: (CompileOptions | undefined)[] = [];
  const fed: Tensors[] = [];
  const program: Program = {
    ...{ memory: { stateBytes: 0 }, load: async () => {}, read: async () => ({}), dispose: async () => {} },
    run: async (feeds) => {
      fed.push(feeds);
      return { x: scalar(1) };
    },
  };
  const backend = (replicas?: number): Backend => ({
    ...{ name: 'played', device: 'none', dispose: async () => {}, ...(replicas && { replicas }) },
    capabilities: () => ({ training: true, inference: true, dtypes: [], lowering: '' }),
    compile: async (_, options) => {
      compiled.push(options);
      return program;
    },
  });
  const nothing = async () => {};
  const communicator: Communicator = { rank: 1, size: 2, allReduce: nothing, allGather: nothing };
  const shared = stepOf(4, { replicas: 2 });

  it('gives the backend what joins it with the others, and its own rows', async () => {
    const trainer = await createTrainer(backend(), shared, {}, { communicator });
    await trainer.step(feedsOf(4), 0.5, 0);
    expect(compiled.at(-1)!.communicator).toBe(communicator);
    expect(fed.at(-1)).toMatchObject({ x: tensor([2, 3], [2, 1]), perm: feedsOf(4).perm });
  });
  it('gives a backend of all replicas the whole batch', async () => {
    const trainer = await createTrainer(backend(2), shared, {});
    await trainer.step(feedsOf(4), 0.5, 0);
    expect(compiled.at(-1)!.communicator).toBeUndefined();
    expect(fed.at(-1)).toMatchObject(feedsOf(4));
  });
  it('refuses a step of other replicas than there are', async () => {
    const refused = (...[of, step, options]: [number, TrainingStep, object?]) =>
      expect(createTrainer(backend(of), step, {}, options)).rejects;
    await refused(1, shared).toThrow('the step is of 2 replicas, played runs 1');
    await refused(4, shared).toThrow('the step is of 2 replicas, played runs 4');
    await refused(1, stepOf(2, {}), { communicator }).toThrow('the step is of 1 replicas, played runs 2');
    // A step of one replica runs on one device of several.
    await createTrainer(backend(4), stepOf(2, {}), {});
  });
});
