/** Joins the processes that `mpirun` started together. */
import { launched, openWorld } from '@moco-ts/distributed';
import { alone, type World } from './world.ts';

/** A world that this process has joined, and has to leave. */
export interface JoinedWorld extends World {
  /** Ends all processes at once: for one that fails. Say why before. */
  abort(code?: number): never;
  /** Leaves, once all do. Nothing but an exit comes after it. */
  finalize(): Promise<void>;
}

/** What a launcher says of this process, where it started several; asks nobody. */
export function launchedAs(): { readonly rank: number } | undefined {
  const launch = launched();
  return launch && { rank: launch.rank ?? 0 };
}

const signals = ['SIGINT', 'SIGTERM'] as const;

/**
 * @returns the world of the launcher that started this process; that of one process where none did, or started but one
 * @throws BackendError where the processes don't find each other
 */
export async function joinWorld(): Promise<JoinedWorld> {
  const joined = { ...alone, abort: (code = 1) => process.exit(code), finalize: async () => undefined };
  if (launchedAs() === undefined) return joined;
  // Before the library sets its own. It counts where nobody else waits to stop: then the exit ends all processes.
  for (const signal of signals)
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(130);
    });
  const world = await openWorld();
  const { rank, size, threads: cores } = world;
  // Left at once: an exit from a world that is open counts as a failure.
  if (size === 1) {
    await world.finalize();
    return joined;
  }
  return {
    ...{ rank, size, cores, communicator: world },
    abort: world.abort,
    finalize: () => world.finalize(),
  };
}
