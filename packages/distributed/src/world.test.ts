import { availableParallelism } from 'node:os';
import { expect, it } from 'vitest';
import { openWorld } from './world.ts';

it('a process on its own is a world of one, which loads no library', async () => {
  // What would be loaded isn't there.
  const world = await openWorld({ MPI_LIBRARY: '/nowhere/libmpi.so' });
  expect(world).toMatchObject({ rank: 0, size: 1, library: undefined, local: { rank: 0, size: 1 } });
  expect(world.threads).toBe(availableParallelism());
  const [values, gathered] = [Float32Array.of(1, 2), new Float32Array(2)];
  await world.allReduce([values]);
  await world.allGather(values, gathered);
  expect([values, gathered]).toEqual([Float32Array.of(1, 2), Float32Array.of(1, 2)]);
  expect([...(await world.broadcast(Uint8Array.of(3)))]).toEqual([3]);
  await world.barrier();
  await world.finalize();
});

it('a library that is not there is one line that says what to do', async () => {
  const env = { OMPI_COMM_WORLD_SIZE: '2', OMPI_COMM_WORLD_RANK: '0', MPI_LIBRARY: '/nowhere/libmpi.so' };
  await expect(openWorld(env)).rejects.toMatchObject({
    code: 'backend-unavailable',
    message: expect.stringMatching(
      /^mpirun started this process, but its library does not load \(\/nowhere\/libmpi\.so: .*\): install it, or give its path in MPI_LIBRARY$/,
    ),
  });
});
