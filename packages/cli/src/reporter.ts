/** What a run tells people while it goes. */
import type { Reporter } from '@moco-ts/node';
import type { Progress } from '@moco-ts/run';
import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import { bar, duration, noted, rate } from './format.ts';
import { type Io, warnTo } from './io.ts';
import { inFlags } from './words.ts';

/** @param every steps between lines, where lines can't be drawn over */
export function createReporter(io: Io, every: number): Reporter {
  return io.live ? liveReporter(io) : plainReporter(io, every);
}

function plainReporter(io: Io, every: number): Reporter {
  const line = (text: string) => io.out(`${text}\n`);
  return {
    step: (progress) => {
      if ((progress.step - 1) % every === 0) line(plainLine(progress));
    },
    epoch: (progress) => line(epochLine(progress)),
    note: (text) => line(noted(text, io.columns)),
    warn: warnTo(io),
    close: () => undefined,
  };
}

const counter = ({ step, steps }: Progress) => `${String(step).padStart(String(steps).length)}/${steps}`;

/** The official script's meters: this step's value, and the epoch's mean in brackets where both tell something. */
export function plainLine(progress: Progress): string {
  const { time, data, loss, acc1, acc5 } = progress.meters;
  return (
    `Epoch ${progress.epoch + 1} [${counter(progress)}] Time ${time.last.toFixed(3)} Data ${data.last.toFixed(3)} ` +
    `Loss ${loss.last.toFixed(4)} (${loss.average.toFixed(4)}) ` +
    `Acc@1/5 ${acc1.last.toFixed(1)}/${acc5.last.toFixed(1)}`
  );
}

function epochLine(progress: Progress): string {
  const { epoch, epochs, meters } = progress;
  const { loss, acc1, acc5, time } = meters;
  const number = String(epoch + 1).padStart(String(epochs).length);
  const images = `${Math.round(progress.rate)} img/s`;
  return (
    `Epoch ${number}/${epochs} done  Loss ${loss.average.toFixed(4)}  Acc@1 ${acc1.average.toFixed(1)}  ` +
    `Acc@5 ${acc5.average.toFixed(1)}  ${time.average.toFixed(3)} s/step  ${images}`
  );
}

/** Two lines that fit 80 columns. */
export function liveLines(progress: Progress, color: boolean): string {
  const { bold, cyan, dim } = pc.createColors(color);
  const { epoch, epochs, step, steps, meters } = progress;
  const done = (epoch + step / steps) / epochs;
  const title = `epoch ${String(epoch + 1).padStart(String(epochs).length)}/${epochs}`;
  const images = `${Math.round(progress.rate)} img/s`;
  const tail = `  ${counter(progress)}  ${images}  ETA ${duration(progress.etaSeconds)}`;
  const width = Math.max(8, 78 - title.length - tail.length);
  const fact = (name: string, value: string) => `${dim(name)} ${value}`;
  return [
    `${bold(title)} ${cyan(bar(done, width))}${tail}`,
    [
      fact('loss', meters.loss.average.toFixed(4)),
      fact('acc@1', meters.acc1.average.toFixed(1)),
      fact('acc@5', meters.acc5.average.toFixed(1)),
      fact('lr', rate(progress.learningRate)),
      fact('step', `${meters.time.average.toFixed(3)} s`),
      fact('data', `${meters.data.average.toFixed(3)} s`),
    ].join('  '),
  ].join('\n');
}

const REDRAW_MS = 100;

function liveReporter(io: Io): Reporter {
  const { yellow } = pc.createColors(io.color);
  // The cursor stays: a process that is killed can't bring it back.
  const update = createLogUpdate(process.stdout, { showCursor: true });
  let drawn = 0;
  const above = (text: string) => {
    update.clear();
    io.out(`${text}\n`);
  };
  return {
    step: (progress) => {
      const now = performance.now();
      if (now - drawn < REDRAW_MS) return;
      drawn = now;
      update(liveLines(progress, io.color));
    },
    epoch: (progress) => {
      // Runs are long: a line for each of some fifty epochs is kept, not one for each.
      const { epoch, epochs } = progress;
      const every = Math.ceil(epochs / 50);
      if ((epoch + 1) % every === 0 || epoch + 1 === epochs) above(epochLine(progress));
    },
    note: (text) => above(noted(text, io.columns)),
    warn: (text) => above(yellow(noted(`warning: ${inFlags(text)}`, io.columns))),
    close: () => update.clear(),
  };
}
