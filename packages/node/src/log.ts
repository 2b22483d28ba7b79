import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { unwritable } from './files.ts';
import { linesOf } from './source.ts';
import { eventFileName, eventFileStart, scalarEvent } from './tensorboard.ts';

/** The two logs of a run: `log.jsonl`, one object a line, and TensorBoard's event file. */
export interface RunLog {
  /** A line of the log; `scalars` go to TensorBoard. */
  write(event: string, fields: Readonly<Record<string, unknown>>, scalars?: Scalars): void;
  close(): void;
}

export interface Scalars {
  /** Steps since the start of the run. */
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

/**
 * Opens the logs of a run folder for appending. Lines behind a `resume` line replace those of the same steps before it.
 * @param step the run's steps so far
 * @throws UserError (also while writing) when the disk refuses
 */
export function openLog(folder: string, step: number): RunLog {
  const openFile = (name: string) => {
    const path = join(folder, name);
    const fd = guard(path, () => openSync(path, 'a'));
    return { path, fd };
  };
  const lines = openFile('log.jsonl');
  const events = openFile(eventFileName());
  const append = ({ path, fd }: typeof lines, data: Uint8Array | string) => {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    guard(path, () => {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    });
  };
  append(events, eventFileStart(step));
  return {
    write: (event, fields, scalars) => {
      const line = Object.assign({ event }, fields, { at: new Date().toISOString() });
      append(lines, `${JSON.stringify(line)}\n`);
      if (scalars) append(events, scalarEvent(scalars.step, scalars.values));
    },
    close: () => {
      closeSync(lines.fd);
      closeSync(events.fd);
    },
  };
}

/** Whether the log of a run has an evaluation after an epoch. */
export async function isEvaluated(folder: string, epoch: number): Promise<boolean> {
  const start = `{"event":"evaluation","epoch":${epoch},`;
  for await (const line of linesOf(join(folder, 'log.jsonl'))) if (line.startsWith(start)) return true;
  return false;
}

function guard<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw unwritable(path, error);
  }
}
