/** How long a run will take, said once at its start. */
import type { Reporter } from '@moco-ts/node';
import { isTimed, type Progress, type RunConfig } from '@moco-ts/run';
import { about } from './format.ts';

/** Steps that are timed, behind the first, which may compile. */
const TIMED = 2;
/** Seconds below which nobody asks. */
const WORTH_SAYING = 60;
/** Seconds that a newcomer hardly meant. */
const LONG = 6 * 3600;

/** Steps from here to the end. */
function remaining(
  { epoch, step, steps, globalStep }: Progress,
  { epochs, maxSteps = Number.POSITIVE_INFINITY }: Pick<RunConfig, 'epochs' | 'maxSteps'>,
): number {
  return Math.min((epochs - epoch) * steps - step, maxSteps - globalStep);
}

/**
 * A reporter that also says, after the first steps, how long the run will take, where no one said when it is to end.
 * @param quicker what to do instead of a run of many hours
 */
export function withEstimate(
  reporter: Reporter,
  config: Pick<RunConfig, 'epochs' | 'maxSteps' | 'time' | 'progressFrom'>,
  quicker: string,
): Reporter {
  if (isTimed(config)) return reporter;
  const seconds: number[] = [];
  return {
    ...reporter,
    step: (progress) => {
      if (seconds.length <= TIMED) {
        seconds.push(progress.meters.time.last);
        if (seconds.length > TIMED) tell(progress);
      }
      return reporter.step(progress);
    },
  };

  function tell(progress: Progress) {
    const each = seconds.slice(1).reduce((a, b) => a + b, 0) / TIMED;
    const left = remaining(progress, config);
    const total = each * left;
    if (total < WORTH_SAYING) return;
    reporter.note(
      `It will take about ${about(total)}: ${left} steps of ${each.toPrecision(2)} s, without measuring.${total < LONG ? '' : ` ${quicker}`}`,
    );
  }
}
