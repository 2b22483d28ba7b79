/** Progress over images on stderr: redrawn in place on a terminal, otherwise a line now and then. */
import { counted, type Wording } from '@moco-ts/core';
import { duration, noted } from '../format.ts';
import { type Io, warnTo } from '../io.ts';

export interface Progress {
  /** @param done images that an earlier, interrupted run finished */
  start(done: number): void;
  update(done: number): void;
  /** Prints a separate line. */
  note(line: string): void;
  warn(text: Wording): void;
  end(): void;
}

/** Seconds between lines where stderr is not a terminal. */
const quiet = 10;

export function progressLine(io: Io, total: number): Progress {
  let [first, started, lastLine, drawn] = [0, performance.now(), performance.now(), false];
  const clear = () => {
    if (drawn) io.eraseLine?.();
    drawn = false;
  };
  return {
    start: (done) => {
      [first, started, lastLine] = [done, performance.now(), performance.now()];
    },
    update: (done) => {
      const now = performance.now();
      if (now - lastLine < (io.live ? 200 : 1000 * quiet)) return;
      lastLine = now;
      const speed = (done - first) / ((now - started) / 1000);
      const line = `${done} of ${counted(total, 'image')}, ${Math.round(speed)} img/s, ${duration((total - done) / speed)} left`;
      clear();
      io.aside(io.live ? line : `${line}\n`);
      drawn = io.live;
    },
    note: (line) => {
      clear();
      io.aside(`${noted(line, io.live ? io.columns : undefined)}\n`);
    },
    warn: (text) => {
      clear();
      warnTo(io)(text);
    },
    end: clear,
  };
}
