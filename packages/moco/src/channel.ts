/** Passes values from a producer to a consumer; the one that is ahead waits. */
export interface Channel<T> {
  /** From now on the maker waits. */
  attach(): void;
  /** The next value, or undefined at the end; tells the maker that the one before is done with. */
  take(): Promise<T | undefined>;
  /** Settles when the consumer is done with the value; at once if there is no consumer. */
  offer(value: T): Promise<void>;
  /** Lets the producer continue, this time. */
  release(): void;
  /** Nobody takes any more, or there is nothing to take. */
  end(): void;
}

export function createChannel<T>(): Channel<T> {
  let open = false;
  let ended = false;
  let offered: T | undefined;
  let wanted: ((value: T | undefined) => void) | undefined;
  let goOn: (() => void) | undefined;
  const release = () => {
    goOn?.();
    goOn = undefined;
  };
  return {
    attach: () => {
      open = true;
    },
    take: () => {
      if (offered !== undefined) {
        const value = offered;
        offered = undefined;
        return Promise.resolve(value);
      }
      release();
      if (ended) return Promise.resolve(undefined);
      return new Promise((resolve) => {
        wanted = resolve;
      });
    },
    offer: (value) => {
      if (!open || ended) return Promise.resolve();
      if (wanted) wanted(value);
      else offered = value;
      wanted = undefined;
      return new Promise((resolve) => {
        goOn = resolve;
      });
    },
    release,
    end: () => {
      ended = true;
      wanted?.(undefined);
      wanted = undefined;
      release();
    },
  };
}
