import { afterEach, expect, it } from 'vitest';
import { catchInterrupts, type Stop } from './stop.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP'] as const;
const listeners = () => signals.map((signal) => process.listenerCount(signal));
const before = listeners();
let stop: Stop;
afterEach(() => stop.release());

it.each(signals)('%s asks a run to stop, and is caught once', (signal) => {
  let calls = 0;
  stop = catchInterrupts(() => calls++);
  expect(stop.requested).toBe(false);
  process.emit(signal, signal);
  expect([stop.requested, calls]).toEqual([true, 1]);
  // The next one ends the process, but for a hang-up, of which one end of a terminal sends two.
  const [int, term, quit, hup] = before as [number, number, number, number];
  expect(listeners()).toEqual([int, term, quit, hup + 1]);
  process.emit('SIGHUP', 'SIGHUP');
  expect(calls).toBe(1);
  stop.release();
  expect(listeners()).toEqual(before);
});
