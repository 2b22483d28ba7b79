/** What a run's log tells, less what was taken back by going on from an earlier checkpoint. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import { systemReason } from '../run/files.ts';

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
  /** How often the run was gone on with. */
  readonly resumed: number;
  /** Lines that could not be read. */
  readonly damaged: number;
  readonly began?: string;
  readonly ended?: string;
}

/** @throws UserError when there is no log */
export async function readHistory(folder: string): Promise<History> {
  const path = join(folder, 'log.jsonl');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new UserError(
      `${path} could not be read: ${systemReason(error) ?? (error as Error).message}; name the folder of a run`,
    );
  });
  return historyOf(text);
}

export function historyOf(text: string): History {
  const lines: LogLine[] = [];
  let [damaged, resumed] = [0, 0];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const found = parse(line);
    if (!found) {
      damaged++;
      continue;
    }
    if (found.event === 'resume') {
      resumed++;
      takeBack(lines, found);
    }
    lines.push(found);
  }
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
    resumed,
    damaged,
    ...(times.length > 0 && { began: times[0]!, ended: times.at(-1)! }),
  };
}

function parse(line: string): LogLine | undefined {
  try {
    const value = JSON.parse(line) as Partial<LogLine> | null;
    return typeof value?.event === 'string' ? (value as LogLine) : undefined;
  } catch {
    // A process that was killed may have left half a line.
    return undefined;
  }
}

/** Removes what was logged after the checkpoint from which the run goes on. */
function takeBack(lines: LogLine[], { globalStep, epoch }: LogLine): void {
  const kept = lines.filter((line) => {
    if (line.event === 'step') return Number(line.globalStep) < Number(globalStep);
    if (line.event === 'epoch') return Number(line.globalStep) <= Number(globalStep);
    if (line.event === 'evaluation' || line.event === 'validation')
      return Number(line.epoch) <= Number(epoch);
    return true;
  });
  lines.splice(0, lines.length, ...kept);
}
