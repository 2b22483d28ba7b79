import { expect, it } from 'vitest';
import { MpiCommunicator } from './communicator.ts';
import type { Mpi } from './mpi.ts';

/** MPI with a second rank that has the same values, and bytes that are 100 more; no call may take more than `most`. */
function fakeMpi(most: number) {
  const calls: string[] = [];
  const act: Record<string, (...args: never[]) => void> = {
    Allreduce: (_: bigint, values: Float32Array, count: number) => {
      expect(count).toBe(values.length);
      values.forEach((value, i) => {
        values[i] = 2 * value;
      });
    },
    Allgather: (own: Uint8Array, count: number, _: number, all: Uint8Array) => {
      all.set(own);
      all.set(
        own.map((byte) => byte + 100),
        count,
      );
    },
    Bcast: () => {},
  };
  const mpi = {
    abi: { world: 7 },
    number: (name: string) => (name === 'Comm_size' ? 2 : 0),
    callAsync: async (name: string, ...args: never[]) => {
      calls.push(name);
      for (const each of args as unknown[])
        if (ArrayBuffer.isView(each)) expect(each.byteLength).toBeLessThanOrEqual(8 * most);
      act[name]!(...args);
    },
  };
  return { communicator: new MpiCommunicator(mpi as unknown as Mpi, most), calls };
}

it('sums values that lie one behind the other in one call, others over a buffer of its own', async () => {
  const { communicator, calls } = fakeMpi(1000);
  const whole = Float32Array.of(0, 1, 2, 3, 4);
  await communicator.allReduce([whole.subarray(1, 2), whole.subarray(2, 4)]);
  expect([...whole]).toEqual([0, 2, 4, 6, 4]);
  await communicator.allReduce([whole.subarray(3, 4), whole.subarray(1, 2), Float32Array.of(5)]);
  expect([...whole]).toEqual([0, 4, 4, 12, 4]);
  expect(calls).toEqual(['Allreduce', 'Allreduce']);
});

it('divides what is more than one call takes', async () => {
  const { communicator, calls } = fakeMpi(3);
  const values = Float32Array.from({ length: 7 }, (_, i) => i);
  await communicator.allReduce([values]);
  expect([...values]).toEqual([0, 2, 4, 6, 8, 10, 12]);
  const gathered = new Uint8Array(14);
  await communicator.allGather(Uint8Array.of(1, 2, 3, 4, 5, 6, 7), gathered);
  expect([...gathered]).toEqual([1, 2, 3, 4, 5, 6, 7, 101, 102, 103, 104, 105, 106, 107]);
  expect([...(await communicator.broadcast(Uint8Array.of(1, 2, 3, 4)))]).toEqual([1, 2, 3, 4]);
  expect(calls).toEqual([
    ...['Allreduce', 'Allreduce', 'Allreduce', 'Allgather', 'Allgather', 'Allgather'],
    ...['Bcast', 'Bcast', 'Bcast'],
  ]);
});

it('refuses what gathered values do not fill, before any call', async () => {
  const { communicator, calls } = fakeMpi(3);
  await expect(communicator.allGather(new Int32Array(2), new Int32Array(5))).rejects.toThrow(
    "2 times 8 bytes don't fill 20",
  );
  expect(calls).toEqual([]);
});
