/** A run that begins when something of it is asked for, and waits for who looks at it. */
import { type Channel, createChannel } from './channel.ts';

/** A run: its events as they come, then its result. Nothing happens before one of the two is asked for. */
export interface LazyRun<Event, Result> {
  /**
   * The events. The run waits while the loop's body runs; leaving the loop ends the run after the current step and
   * saves, as an abort does. Errors of the run are thrown.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Event, void, void>;
  /** Settles at the end of the run; rejected with its error. Asking for it begins the run. */
  readonly result: Promise<Result>;
}

/** What a run is given. */
export interface Lent<Event> {
  /** Set when the run is to end after its current step. */
  readonly stop: { requested: boolean };
  readonly channel: Channel<Event>;
}

/**
 * @param check called before anything else; what it throws is the run's error
 * @param signal ends the run as leaving the loop does
 */
export function lazyRun<Event, Result>(
  signal: AbortSignal | undefined,
  check: () => void,
  run: (lent: Lent<Event>) => Promise<Result>,
): LazyRun<Event, Result> {
  const stop = { requested: false };
  const channel = createChannel<Event>();
  const onAbort = () => {
    stop.requested = true;
    channel.release();
  };
  const start = async () => {
    try {
      check();
      if (signal?.aborted) onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      return await run({ stop, channel });
    } finally {
      if (signal instanceof AbortSignal) signal.removeEventListener('abort', onAbort);
    }
  };
  let running: Promise<Result> | undefined;
  const begin = () => {
    running ??= start().finally(channel.end);
    return running;
  };
  async function* iterate(): AsyncGenerator<Event, void, void> {
    channel.attach();
    const result = begin();
    // Awaited below, when the events are over.
    result.catch(() => undefined);
    try {
      for (let event = await channel.take(); event; event = await channel.take()) yield event;
    } finally {
      stop.requested = true;
      channel.end();
      await result;
    }
  }
  const events = iterate();
  return {
    get result() {
      return begin();
    },
    [Symbol.asyncIterator]: () => events,
  };
}
