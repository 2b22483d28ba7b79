/** The processes that share a run, one replica each: `mpirun` starts them, or a test. */
import type { Communicator, TypedArray } from '@moco-ts/core';

/** One process among those that share a run. */
export interface World {
  /** This process's number: 0 logs, saves and measures. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** Where there are several. */
  readonly communicator?: Communicator;
  /** What each process of a machine may use of its cores. Default: the backend's and the loader's own choice. */
  readonly cores?: number;
}

/** A process by itself. */
export const alone: World = { rank: 0, size: 1 };

/** A run failed in another process, which tells it: there is nothing to say here. */
export class FailedElsewhere extends Error {
  override name = 'FailedElsewhere';
}

/** What each process gives, in the order of their ranks. @param value plain JSON; undefined comes as null */
export async function gathered<T>({ communicator }: World, value: T): Promise<T[]> {
  if (!communicator) return [value];
  const text = new TextEncoder().encode(JSON.stringify(value ?? null));
  const lengths = await allGather(communicator, Int32Array.of(text.length));
  const most = Math.max(...lengths);
  const own = new Uint8Array(most);
  own.set(text);
  const all = await allGather(communicator, own);
  return Array.from(lengths, (length, rank) =>
    JSON.parse(new TextDecoder().decode(all.subarray(rank * most, rank * most + length))),
  );
}

async function allGather<T extends TypedArray>(communicator: Communicator, values: T): Promise<T> {
  const all = new (values.constructor as new (length: number) => T)(communicator.size * values.length);
  await communicator.allGather(values, all);
  return all;
}

/**
 * What rank 0 does alone, and all hear of.
 * @param act gives plain JSON
 * @throws what `act` throws; on the other ranks FailedElsewhere then
 */
export function ofRankZero<T>(world: World, act: () => Promise<T>): Promise<T> {
  return together(world, async () => (world.rank === 0 ? await act() : undefined)).then(
    async (own) => (await gathered(world, own))[0] as T,
  );
}

/**
 * What all processes do, and go on from only if none failed. Nothing in it may wait for the other processes.
 * @throws what `act` throws, on the first rank where it does; FailedElsewhere on the others
 */
export async function together<T>(world: World, act: () => Promise<T>): Promise<T> {
  if (!world.communicator) return act();
  const own = await act().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const failed = await gathered(world, 'error' in own);
  const first = failed.indexOf(true);
  if ('value' in own && first < 0) return own.value;
  if ('error' in own && first === world.rank) throw own.error;
  throw new FailedElsewhere(`rank ${first} failed`);
}
