/** The lines of a training in its log: its steps and epochs. */
import { metricMeans, type Progress, type StepInfo } from '@moco-ts/run';
import type { RunLog } from './log.ts';

export function writeStep(
  log: RunLog,
  { at, learningRate: lr, metrics, seconds, waited, progress: { rate } }: StepInfo,
  timed: boolean,
): void {
  const { epoch, step, globalStep, progress } = at;
  const pacing = { time: rounded(seconds), data: rounded(waited), rate: rounded(rate) };
  // No spreads: see createTrainer.
  const charted = Object.assign({}, metrics, timed ? { lr, progress } : { lr });
  const line = Object.assign({ epoch, step, globalStep }, charted, pacing);
  log.write('step', line, { step: globalStep, values: charted });
}

export function writeEpoch(
  log: RunLog,
  { epoch, globalStep, meters, learningRate: lr, done }: Progress,
  timed: boolean,
): void {
  const { time, data } = meters;
  const means = metricMeans(meters);
  const pacing = { time: rounded(time.average), data: rounded(data.average) };
  log.write(
    'epoch',
    { epoch, globalStep, ...means, lr, ...pacing, ...(timed && { done }) },
    {
      step: globalStep,
      values: Object.fromEntries(Object.entries(means).map(([name, value]) => [`mean/${name}`, value])),
    },
  );
}

/** To four places: times are no more exact. */
const rounded = (value: number) => Number(value.toFixed(4));
