/** What a run's log tells, less what was taken back by going on from an earlier checkpoint. */
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import { readText } from '@moco-ts/node';
import { currentNames } from '@moco-ts/run';

/** A line of `log.jsonl`. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };

export interface History {
  /** From the first to the last step; not every one is logged. */
  readonly steps: readonly LogLine[];
  /** The means of whole epochs. */
  readonly epochs: readonly LogLine[];
  /** kNN and retrieval after epochs. */
  readonly evaluations: readonly LogLine[];
  /** Of classifiers, after epochs. */
  readonly validations: readonly LogLine[];
  /** What went wrong, in words. */
  readonly alarms: readonly string[];
  /** How often the run was resumed. */
  readonly resumed: number;
  /** Lines that could not be read. */
  readonly damaged: number;
  readonly began?: string;
  readonly ended?: string;
}

/** @throws UserError when there is no log */
export async function readHistory(folder: string): Promise<History> {
  const path = join(folder, 'log.jsonl');
  const text = await readText(path).catch((error: unknown) => {
    throw new UserError(
      `${(error as Error).message}; name the folder of a run`,
      error instanceof UserError ? error : {},
    );
  });
  return historyOf(text);
}

export function historyOf(text: string): History {
  const all: LogLine[] = [];
  let damaged = 0;
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const entry = parse(line);
    if (!entry) {
      damaged++;
      continue;
    }
    all.push(entry);
  }
  const lines = withoutTakenBack(all);
  const of = (...events: string[]) => lines.filter(({ event }) => events.includes(event));
  const alarms = of('alarm', 'diverged').map(({ event, epoch, message, loss, globalStep }) =>
    event === 'alarm'
      ? `Epoch ${Number(epoch) + 1}: ${message}`
      : String(message ?? `Step ${globalStep}: the loss was ${loss}`),
  );
  const times = lines.map(({ at }) => at).filter((at) => typeof at === 'string');
  return {
    steps: of('step'),
    epochs: of('epoch'),
    evaluations: of('evaluation'),
    validations: of('validation'),
    alarms,
    resumed: of('resume').length,
    damaged,
    ...(times.length > 0 && { began: times[0]!, ended: times.at(-1)! }),
  };
}

function parse(line: string): LogLine | undefined {
  try {
    const value = currentNames(JSON.parse(line)) as Partial<LogLine> | null;
    return typeof value?.event === 'string' ? (value as LogLine) : undefined;
  } catch {
    // A process that was killed may have left half a line.
    return undefined;
  }
}

/** Leaves out what was logged after the checkpoint from which the run later went on, or before it started over. */
function withoutTakenBack(lines: readonly LogLine[]): LogLine[] {
  const kept: LogLine[] = [];
  // From the end, so that one look at each line will do, however often the run went on.
  let [steps, epochs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const line of [...lines].reverse()) {
    if (line.event === 'resume' || line.event === 'start') {
      steps = Math.min(steps, Number(line.globalStep));
      epochs = Math.min(epochs, Number(line.epoch));
    }
    if (isKept(line, steps, epochs)) kept.push(line);
  }
  return kept.reverse();
}

function isKept({ event, globalStep, epoch }: LogLine, steps: number, epochs: number): boolean {
  if (event === 'step') return !(Number(globalStep) >= steps);
  // An evaluation of an earlier version has no step.
  if (event === 'epoch' || (event === 'evaluation' && globalStep !== undefined))
    return !(Number(globalStep) > steps);
  return (event !== 'evaluation' && event !== 'validation') || !(Number(epoch) > epochs);
}
