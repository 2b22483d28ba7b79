/** What a run tells people while it goes. */
import type { Reporter } from '@moco-ts/node';
import { type Meters, type MetricGroup, metricMeans, type Progress } from '@moco-ts/run';
import { createLogUpdate } from 'log-update';
import pc from 'picocolors';
import { bar, duration, noted, rate } from './format.ts';
import { type Io, warnTo } from './io.ts';
import { inFlags } from './words.ts';

/** What of the metrics is shown. */
type Shown = readonly Pick<MetricGroup, 'labels' | 'digits'>[];

/** Of classifiers. */
const accuracies: Shown = [{ labels: { acc1: 'Acc@1', acc5: 'Acc@5' }, digits: 1 }];

/** @param every steps between lines, where lines can't be drawn over */
export function createReporter(io: Io, every: number, shown = accuracies): Reporter {
  if (io.manner.json) return eventReporter(io, every);
  return io.live ? liveReporter(io, shown) : plainReporter(io, every, shown);
}

/** For programs: what the run's log has, as it comes. */
function eventReporter(io: Io, every: number): Reporter {
  // Of a step `time` is the seconds that it took. Where time alone ends the run, nobody knows of how many epochs.
  const facts = ({ meters: _, learningRate: lr, epoch, epochs, time, ...where }: Progress) => ({
    epoch,
    ...(Number.isFinite(epochs) && { epochs }),
    ...where,
    ...(time && { timing: time }),
    lr,
  });
  return {
    step: (progress) => {
      if ((progress.step - 1) % every !== 0) return;
      const values = Object.entries(progress.meters).map(([name, { last }]) => [name, last]);
      io.event('step', { ...facts(progress), ...Object.fromEntries(values) });
    },
    epoch: (progress) => io.event('epoch', { ...facts(progress), ...metricMeans(progress.meters) }),
    measured: (epoch, measures, best) => io.event('evaluation', { epoch, ...measures, best }),
    note: (text) => io.tell('note', text),
    warn: warnTo(io),
    close: () => undefined,
  };
}

function plainReporter(io: Io, every: number, shown: Shown): Reporter {
  const line = (text: string) => io.say(`${text}\n`);
  return {
    step: (progress) => {
      if ((progress.step - 1) % every === 0) line(plainLine(progress, shown));
    },
    epoch: (progress) => line(epochLine(progress, shown)),
    note: (text) => line(noted(text, io.columns)),
    warn: warnTo(io),
    close: () => undefined,
  };
}

const counter = ({ step, steps }: Pick<Progress, 'step' | 'steps'>) =>
  `${String(step).padStart(String(steps).length)}/${steps}`;

/** The metrics that are shown, with what of each. Those of an older version or another method may be missing. */
const values = ({ labels, digits }: Shown[number], meters: Meters, of: 'last' | 'average') =>
  Object.entries(labels).map(([name, label]) => [label, (meters[name]?.[of] ?? 0).toFixed(digits)] as const);

/** `Acc@1/5 12.5/100.0` */
function together(group: Shown[number], meters: Meters, of: 'last' | 'average'): string {
  const all = values(group, meters, of);
  const [first = ''] = all.map(([label]) => label);
  const start = first.slice(0, first.indexOf('@') + 1);
  const names = all.map(([label], i) =>
    i > 0 && label.startsWith(start) ? label.slice(start.length) : label,
  );
  return `${names.join('/')} ${all.map(([, value]) => value).join('/')}`;
}

/** The official script's meters: this step's value, and the epoch's mean in brackets where both tell something. */
export function plainLine({ epoch, meters, ...progress }: Progress, shown = accuracies): string {
  const { time, data, loss } = meters;
  return (
    `Epoch ${epoch + 1} [${counter(progress)}] Time ${time.last.toFixed(3)} Data ${data.last.toFixed(3)} ` +
    `Loss ${loss.last.toFixed(4)} (${loss.average.toFixed(4)})${shown.map((group) => ` ${together(group, meters, 'last')}`).join('')}`
  );
}

/** `Epoch  7/200`; where time alone ends the run, `epoch 7`. */
const epochOf = ({ epoch, epochs }: Progress) => {
  const number = String(epoch + 1);
  return Number.isFinite(epochs) ? `${number.padStart(String(epochs).length)}/${epochs}` : number;
};

/** `12:30 of 30:00` */
export const timeOf = ({ spent, total }: NonNullable<Progress['time']>) =>
  `${duration(spent)} of ${duration(total)}`;

/** One line that fits 80 columns with the method's usual metrics. */
export function epochLine(progress: Progress, shown: Shown = accuracies): string {
  const { meters, time, rate: speed } = progress;
  return [
    `Epoch ${epochOf(progress)} done${time ? `, ${timeOf(time)}` : ''}`,
    `Loss ${meters.loss.average.toFixed(4)}`,
    ...shown.map((group) => together(group, meters, 'average')),
    ...(time ? [] : [`${meters.time.average.toFixed(3)} s/step`]),
    `${Math.round(speed)} img/s`,
  ].join('  ');
}

/** Two lines that fit 80 columns. */
export function liveLines(progress: Progress, color: boolean, shown = accuracies): string {
  const { bold, cyan, dim } = pc.createColors(color);
  const { meters } = progress;
  const title = `epoch ${epochOf(progress)}`;
  const images = `${Math.round(progress.rate)} img/s`;
  const end = progress.time ? timeOf(progress.time) : `ETA ${duration(progress.etaSeconds)}`;
  const tail = `  ${counter(progress)}  ${images}  ${end}`;
  const width = Math.max(8, 78 - title.length - tail.length);
  const fact = (name: string, value: string) => `${dim(name)} ${value}`;
  return [
    `${bold(title)} ${cyan(bar(progress.done, width))}${tail}`,
    [
      fact('loss', meters.loss.average.toFixed(4)),
      ...shown.flatMap((group) =>
        values(group, meters, 'average').map(([label, value]) => fact(label.toLowerCase(), value)),
      ),
      fact('lr', rate(progress.learningRate)),
      fact('step', `${meters.time.average.toFixed(3)} s`),
      fact('data', `${meters.data.average.toFixed(3)} s`),
    ].join('  '),
  ].join('\n');
}

const REDRAW_MS = 100;

function liveReporter(io: Io, shown: Shown): Reporter {
  const { yellow } = pc.createColors(io.color);
  // The cursor stays: a process that is killed can't bring it back.
  const update = createLogUpdate(process.stdout, { showCursor: true });
  let drawn = 0;
  const above = (text: string) => {
    update.clear();
    io.say(`${text}\n`);
  };
  return {
    step: (progress) => {
      const now = performance.now();
      if (now - drawn < REDRAW_MS) return;
      drawn = now;
      update(liveLines(progress, io.color, shown));
    },
    epoch: (progress) => {
      // Runs are long: a line for each of some fifty epochs is kept, not one for each.
      const { epoch, epochs, done } = progress;
      const every = Number.isFinite(epochs) ? Math.ceil(epochs / 50) : Math.ceil((epoch + 1) / (50 * done));
      if ((epoch + 1) % every === 0 || epoch + 1 === epochs) above(epochLine(progress, shown));
    },
    note: (text) => above(noted(text, io.columns)),
    warn: (text) => above(yellow(noted(`warning: ${inFlags(text)}`, io.columns))),
    close: () => update.clear(),
  };
}
