/** A command in one of the processes that share it. */
import { setTimeout as after } from 'node:timers/promises';
import { FailedElsewhere, type JoinedWorld } from '@moco-ts/node';

/** What fails on all ranks, fails on rank 0 too, which tells it and ends all of them: the others wait for that so long. */
const GRACE_MS = 3000;

/**
 * Joins the other processes, does what all do, and leaves with them. One that fails says why and ends all of them.
 * @param report tells an error, of a rank where it is one's own
 * @returns the exit code
 */
export async function ofWorld(
  join: () => Promise<JoinedWorld>,
  act: (world: JoinedWorld) => Promise<number>,
  report: (error: unknown, rank?: number) => number,
  grace = GRACE_MS,
): Promise<number> {
  let world: JoinedWorld;
  try {
    world = await join();
  } catch (error) {
    return report(error);
  }
  const { rank, size } = world;
  try {
    const code = await act(world);
    await world.finalize();
    return code;
  } catch (error) {
    if (rank > 0) await after(grace);
    if (error instanceof FailedElsewhere) await after(grace);
    else report(error, size > 1 ? rank : undefined);
    return world.abort(1);
  }
}
