/** Interrupts: the first lets the step end and saves, the second ends the process at once. */
export interface Stop {
  requested: boolean;
  /** Gives the signals back. */
  release(): void;
}

const signals = ['SIGINT', 'SIGTERM'] as const;

/** @param told called at the first interrupt */
export function catchInterrupts(told: () => void): Stop {
  const release = () => {
    for (const signal of signals) process.off(signal, onSignal);
  };
  const stop: Stop = { requested: false, release };
  function onSignal() {
    stop.requested = true;
    // Without a listener the next one has its usual effect, even while a step blocks this thread.
    release();
    told();
  }
  for (const signal of signals) process.on(signal, onSignal);
  return stop;
}
