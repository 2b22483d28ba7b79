/** What a run's schedules follow. */
import { join } from 'node:path';
import { SettingError, say, settingRef } from '@moco-ts/core';
import {
  asRecorded,
  byEpochs,
  type Checkpoint,
  type Course,
  durationText,
  lastEpoch,
  type Position,
  type RunConfig,
  TimeCourse,
} from '@moco-ts/run';
import type { sharedSkips } from './agreement.ts';
import type { Prepared } from './prepare.ts';
import { entryIfThere, linesOf } from './source.ts';
import { alone } from './world.ts';

/** The time of a command. */
export interface Timing {
  /** Milliseconds since some time, never less than before. */
  readonly clock: () => number;
  /** When, by the clock, the command began: the run's `time` counts from there. */
  readonly began: number;
  /** Seconds of the run's `time` for what the caller does when the training is over. Default 0. */
  readonly reserve?: number;
  /** Seconds of what the run itself does once more behind its last step, such as `evaluation`, as far as they are known. */
  readonly following?: Readonly<Record<string, number>>;
}

/** A run that is under way. */
export interface Run extends Prepared {
  readonly course: Course;
  readonly clock: Timing['clock'];
  readonly skips: Pick<ReturnType<typeof sharedSkips>, 'share'>;
}

/** The time of a command that begins now. The clock is the process's own, which nobody sets. */
export function startTiming(clock = () => performance.now()): Timing {
  return { clock, began: clock() };
}

/**
 * @throws SettingError for a time that was over before the first step, and for a log that tells no progress; UserError for one that can't
 * be read
 */
export async function courseOf(
  config: RunConfig,
  from: Position,
  stepsPerEpoch: number,
  timing: Timing,
  resume?: Checkpoint,
  world = alone,
): Promise<Course> {
  const { time, progressFrom } = config;
  // Whose course it is tells the other processes.
  if (world.rank > 0) return byEpochs(config.epochs, stepsPerEpoch);
  const epochs = byEpochs(lastEpoch(config), stepsPerEpoch);
  if (progressFrom !== undefined) return asRecorded(await recordedProgress(progressFrom, from), epochs);
  if (time === undefined) return epochs;
  const course = new TimeCourse({ ...timing, time, from, epochs, ...spentBy(resume, time, epochs) });
  if (!resume && course.stepsLeft(from) < 1) {
    const { spent } = course.time;
    throw new SettingError(
      say`${settingRef('time', durationText(time))} is over before the first step: ${timing.reserve ? `${durationText(timing.reserve)} are kept for what follows the training, and ` : ''}preparing took ${spent.toFixed(1)} s; give more`,
      { value: time },
    );
  }
  return course;
}

/** What earlier commands spent of the run's time, and did of its training. */
function spentBy(resume: Checkpoint | undefined, time: number, epochs: Course) {
  if (!resume) return {};
  const { time: recorded, config } = resume.info;
  // A run that was to end by its epochs has all of the time, and is as far as it was by them.
  if (!recorded || config.time === undefined) return { progress: epochs.progress(resume.info) };
  const { spent, progress } = recorded;
  return { spent, progress: config.time === time ? progress : progress * (config.time / time) };
}

/**
 * The progress of each step of a run, by its log.
 * @param path the log, or the run folder
 */
async function recordedProgress(path: string, from: Position): Promise<number[]> {
  const isFolder = (await entryIfThere(path))?.isDirectory() ?? false;
  const log = isFolder ? join(path, 'log.jsonl') : path;
  const values: number[] = [];
  for await (const line of linesOf(log)) {
    const { event, globalStep, progress } = parsed(line);
    if (!isCount(globalStep)) continue;
    // What follows replaces the steps behind the checkpoint; a run killed before its first one starts over.
    if (event === 'resume' || event === 'start') values.length = Math.min(values.length, globalStep);
    else if (isShare(progress)) values[globalStep] = progress;
  }
  for (let step = from.globalStep; step < Math.max(1, values.length); step++)
    if (values[step] === undefined)
      throw new SettingError(
        say`${log} does not tell how far the training was at step ${step}: ${settingRef('progressFrom')} takes the log of a run with ${settingRef('time')}`,
        { setting: 'progressFrom', value: path },
      );
  return values;
}

interface Line {
  readonly event?: unknown;
  readonly globalStep?: unknown;
  readonly progress?: unknown;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isShare = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value < 1;

function parsed(line: string): Line {
  try {
    return (JSON.parse(line) ?? {}) as Line;
  } catch {
    // Half a line, of a process that was killed.
    return {};
  }
}
