/** The log of a run: `log.jsonl` in its folder, one object a line, and the sinks that the user named. */
import { join } from 'node:path';
import type { LogEntry, LogSink, NamedSink, RunFacts, RunOutcome, Scalars } from '@moco-ts/run';
import { appendTo } from './append.ts';
import { linesOf } from './source.ts';

export interface RunLog {
  /** A line of the log; sinks draw `scalars`. @throws UserError when the disk refuses */
  write(event: string, fields: Readonly<Record<string, unknown>>, scalars?: Scalars): void;
  /** How the run ended: what `close` tells the sinks, which otherwise take it that it failed. */
  ended(outcome: RunOutcome): void;
  close(): Promise<void>;
}

/** Where another process writes it. */
export const noLog: RunLog = { write: () => undefined, ended: () => undefined, close: async () => undefined };

/** The sinks of a run that names none. */
export const usualLogs: readonly string[] = ['tensorboard'];

/**
 * Opens the logs of a run folder for appending. Lines behind a `resume` line replace those of the same steps before it. A sink that
 * fails under way is told and left out: `log.jsonl` has everything.
 * @throws UserError when the disk or a sink refuses
 */
export async function openLog(facts: RunFacts, sinks: readonly NamedSink[]): Promise<RunLog> {
  const lines = appendTo(join(facts.folder, 'log.jsonl'));
  const open = new Map<string, LogSink>();
  const close = async (outcome: RunOutcome) => {
    lines.close();
    await Promise.all([...open].map(([name, sink]) => guarded(name, () => sink.close(outcome))));
  };
  const failed = (name: string, error: unknown) => {
    open.delete(name);
    facts.warn(`the log ${name} failed, and gets no more of this run: ${messageOf(error)}`);
  };
  const guarded = async (name: string, act: () => void | Promise<void>) => {
    try {
      await act();
    } catch (error) {
      failed(name, error);
    }
  };
  try {
    for (const { plugin, target } of sinks) open.set(plugin.name, await plugin.open(facts, target));
  } catch (error) {
    await close('failed');
    throw error;
  }
  let outcome: RunOutcome = 'failed';
  return {
    write: (event, fields, scalars) => {
      const at = new Date();
      const line = Object.assign({ event }, fields, { at: at.toISOString() });
      lines.append(`${JSON.stringify(line)}\n`);
      const entry: LogEntry = scalars ? { event, at, fields, scalars } : { event, at, fields };
      for (const [name, sink] of open)
        try {
          sink.write(entry);
        } catch (error) {
          failed(name, error);
        }
    },
    ended: (how) => {
      outcome = how;
    },
    close: () => close(outcome),
  };
}

const messageOf = (error: unknown) =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!;

/** What the log of a run tells of an epoch, by an event; of several lines the last. */
export async function loggedOf(
  folder: string,
  event: 'epoch' | 'evaluation',
  epoch: number,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const start = `{"event":"${event}","epoch":${epoch},`;
  let last: string | undefined;
  for await (const line of linesOf(join(folder, 'log.jsonl'))) if (line.startsWith(start)) last = line;
  try {
    return last === undefined ? undefined : JSON.parse(last);
  } catch {
    // A process that was killed may have left half a line.
    return undefined;
  }
}
