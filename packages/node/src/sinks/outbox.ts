/** What goes to a server that may be slow, down, or refuse: a bounded queue beside the run, which never waits for it. */
import { setTimeout as sleep } from 'node:timers/promises';

/** The server refuses this for good: to send it again would not help. */
export class Refused extends Error {
  /** Items that are lost by it, where that is known; else all that were sent together. */
  lost?: number;
}

export interface OutboxOptions<T> {
  /** Sends some items. @throws Refused where they are lost; any other error where they are to be sent again */
  deliver(items: readonly T[], signal: AbortSignal): Promise<void>;
  onFailure(error: Error): void;
  /** Items that are sent together, at most. */
  readonly batch: number;
  /** Items that wait, or a tenth more: the oldest are lost for newer ones. */
  readonly capacity: number;
  /** Milliseconds between two deliveries; twice as many behind each failure. */
  readonly pause: number;
}

export interface Outbox<T> {
  /** Returns at once. */
  push(item: T): void;
  /**
   * Sends what is left.
   * @param patience milliseconds after which it gives up
   * @returns how many items were lost
   */
  close(patience: number): Promise<number>;
}

/** Milliseconds between two tries, at most. */
const LONGEST_PAUSE = 60_000;
/** Failures in a row, the last of them while it closes, before it gives up. */
const LAST_TRIES = 2;

export function createOutbox<T>({ deliver, onFailure, batch, capacity, pause }: OutboxOptions<T>): Outbox<T> {
  const items: T[] = [];
  let lost = 0;
  const closing = new AbortController();
  const over = new AbortController();
  // Many at a time: taking off the first of a long list moves all others, which a step would wait for.
  const most = capacity + Math.floor(capacity / 10);
  const trim = () => {
    if (items.length > most) lost += items.splice(0, items.length - capacity).length;
  };
  const send = async (): Promise<void> => {
    const some = items.splice(0, batch);
    if (some.length === 0) return;
    try {
      await deliver(some, over.signal);
    } catch (error) {
      if (error instanceof Refused) lost += error.lost ?? some.length;
      else items.unshift(...some);
      trim();
      throw error;
    }
  };
  const run = async () => {
    for (let failures = 0; !over.signal.aborted; ) {
      try {
        await send();
        failures = 0;
      } catch (error) {
        failures++;
        if (!over.signal.aborted) onFailure(error as Error);
      }
      if (closing.signal.aborted && (items.length === 0 || failures >= LAST_TRIES)) return;
      const rest = Math.min(pause * 2 ** failures, LONGEST_PAUSE);
      // It keeps no process alive, and ends when the box closes.
      await sleep(rest, undefined, { signal: closing.signal, ref: false }).catch(() => undefined);
    }
  };
  const running = run();
  return {
    push: (item) => {
      items.push(item);
      trim();
    },
    close: async (patience) => {
      closing.abort();
      const timer = setTimeout(() => over.abort(), patience);
      await running;
      clearTimeout(timer);
      return lost + items.length;
    },
  };
}
