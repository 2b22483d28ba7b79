/** Progress over images, on stderr: drawn over on a terminal, else a line now and then. */
import { counted } from '@moco-ts/core';
import { duration, noted } from '../format.ts';
import type { Io } from '../io.ts';

export interface Progress {
  /** @param done images that need not be done again */
  start(done: number): void;
  update(done: number): void;
  /** A line of its own. */
  note(line: string): void;
  end(): void;
}

/** Seconds between lines where nothing is drawn over. */
const quiet = 10;

export function progressLine(io: Io, total: number): Progress {
  let [first, started, told, drawn] = [0, performance.now(), performance.now(), false];
  const clear = () => {
    if (drawn) io.eraseLine?.();
    drawn = false;
  };
  return {
    start: (done) => {
      [first, started, told] = [done, performance.now(), performance.now()];
    },
    update: (done) => {
      const now = performance.now();
      if (now - told < (io.live ? 200 : 1000 * quiet)) return;
      told = now;
      const speed = (done - first) / ((now - started) / 1000);
      const line = `${done} of ${counted(total, 'image')}, ${Math.round(speed)} img/s, ${duration((total - done) / speed)} left`;
      clear();
      io.err(io.live ? line : `${line}\n`);
      drawn = io.live;
    },
    note: (line) => {
      clear();
      io.err(`${noted(line, io.live ? io.columns : undefined)}\n`);
    },
    end: clear,
  };
}
