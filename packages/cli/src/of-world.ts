/** A command in one of the processes that share it. */
import { setTimeout as after } from 'node:timers/promises';
import { FailedElsewhere, type JoinedWorld } from '@moco-ts/node';

/**
 * What fails on all ranks, fails on rank 0 too, which tells it and ends all of them: the others wait for that so long. Longer than the
 * end of a log takes whose server doesn't answer.
 */
const GRACE_MS = 8000;

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
    const isElsewhere = error instanceof FailedElsewhere;
    // Who waits for another to tell, waits longer than that one does.
    await after(grace * (isElsewhere ? 2 : rank > 0 ? 1 : 0));
    if (!isElsewhere) report(error, size > 1 ? rank : undefined);
    return world.abort(1);
  }
}
