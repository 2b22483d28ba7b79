/** Interrupts: the first lets the step end and saves, the second ends the process at once. */
export interface Stop {
  requested: boolean;
  /** Gives the signals back. */
  release(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const;
/** A terminal that is closed sends it from two sides at once, and systemd right behind SIGTERM: never the second one. */
const hangUp = 'SIGHUP';

/** @param onInterrupt called at the first interrupt */
export function catchInterrupts(onInterrupt: () => void): Stop {
  const stop: Stop = {
    requested: false,
    release: () => {
      letGo();
      process.off(hangUp, onSignal);
    },
  };
  // Without a listener the next one has its usual effect, even while a step blocks this thread.
  function letGo() {
    for (const signal of signals) process.off(signal, onSignal);
  }
  function onSignal() {
    if (stop.requested) return;
    stop.requested = true;
    letGo();
    onInterrupt();
  }
  for (const signal of [...signals, hangUp]) process.on(signal, onSignal);
  return stop;
}
