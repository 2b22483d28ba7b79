import { expect, it } from 'vitest';
import { memoryCommunicators } from './memory-communicators.ts';

/** Calls of the replicas, the last replica's first. */
const backwards = <T>(calls: readonly (() => Promise<T>)[]) =>
  Promise.all(
    calls
      .toReversed()
      .map((call) => call())
      .toReversed(),
  );

it('sums several arrays in place, with the same bits on each replica, rounded to float32 in their order', async () => {
  // In float32, (1e8 + 1) - 1e8 is 0, and 1e8 - 1e8 + 1 is 1.
  const values = [[1e8], [1], [-1e8]].map(([x]) => [Float32Array.of(x!), Float32Array.of(1, 2)]);
  await backwards(memoryCommunicators(3).map((each, rank) => () => each.allReduce(values[rank]!)));
  expect(values).toEqual(Array.from(values, () => [Float32Array.of(0), Float32Array.of(3, 6)]));
});

it('gathers in the order of the replicas, whoever calls first', async () => {
  const gathered = [new Int32Array(4), new Int32Array(4)];
  await backwards(
    memoryCommunicators(2).map(
      (each, rank) => () => each.allGather(Int32Array.of(rank, 10 + rank), gathered[rank]!),
    ),
  );
  expect(gathered).toEqual([Int32Array.of(0, 10, 1, 11), Int32Array.of(0, 10, 1, 11)]);
});

it('keeps calls apart where a replica is several ahead', async () => {
  const [ahead, behind] = memoryCommunicators(2);
  const values = [1, 2].map((x) => Float32Array.of(x));
  const early = values.map((each) => ahead!.allReduce([each]));
  await behind!.allReduce([Float32Array.of(10)]);
  await behind!.allReduce([Float32Array.of(20)]);
  await Promise.all(early);
  expect(values).toEqual([Float32Array.of(11), Float32Array.of(22)]);
});

it('fails on all replicas where they call different things', async () => {
  const [one, two] = memoryCommunicators(2);
  const calls = [one!.allReduce([new Float32Array(2)]), two!.allReduce([new Float32Array(3)])];
  for (const each of await Promise.allSettled(calls))
    expect(each).toMatchObject({
      status: 'rejected',
      reason: { message: 'replica 1 calls allReduce of 3, replica 0 allReduce of 2', code: 'backend-failed' },
    });
});
