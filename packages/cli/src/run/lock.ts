/** One process to a run folder: two that write into it would mix their checkpoints and logs. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { printable, UserError } from '@moco-ts/core';
import { systemReason } from './files.ts';

/** What a lock tells of its holder. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  readonly command: string;
  /** Where the system tells: which start of the machine, and when the process began, since ids are used again. */
  readonly boot?: string;
  readonly began?: string;
}

export interface Lock {
  release(): void;
}

export const LOCK = 'run.lock';
/** A lock is written at once: one that says nothing for so long was left by a crash. */
const EMPTY_IS_STALE_AFTER_MS = 10_000;

/**
 * Takes a run folder, which exists. A lock of a process that is gone is taken over.
 * @param note told of a lock that was taken over
 * @throws UserError when another process holds it, or the disk refuses
 */
export function lockFolder(folder: string, note: (text: string) => void): Lock {
  const path = join(folder, LOCK);
  if (!create(path)) {
    const text = read(path);
    const holder = parse(text);
    if (!isGone(holder, path)) throw new UserError(held(folder, path, holder));
    takeAway(folder, path, text);
    if (!create(path)) throw new UserError(held(folder, path, parse(read(path))));
    const who = holder ? `process ${holder.pid}, which began ${holder.since},` : 'a process';
    note(`${folder}: the lock of ${who} is taken over: it has ended without giving it back`);
  }
  const own = read(path);
  return {
    release: () => {
      // Whoever took it over, by hand perhaps, keeps it.
      if (read(path) === own) rmSync(path, { force: true });
    },
  };
}

function create(path: string): boolean {
  let file: number;
  try {
    file = openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new UserError(`${path} could not be written: ${systemReason(error) ?? (error as Error).message}`);
  }
  try {
    writeSync(file, `${JSON.stringify(self())}\n`);
  } catch (error) {
    rmSync(path, { force: true });
    throw new UserError(`${path} could not be written: ${systemReason(error) ?? (error as Error).message}`);
  } finally {
    closeSync(file);
  }
  return true;
}

function self(): Holder {
  const boot = bootId();
  const began = beganAt(process.pid);
  return {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    command: ['moco', ...process.argv.slice(2)].join(' '),
    ...(boot !== undefined && { boot }),
    ...(began !== undefined && { began }),
  };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function parse(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    const known = Number.isSafeInteger(value?.pid) && value!.pid! > 0 && typeof value!.host === 'string';
    return known ? (value as Holder) : undefined;
  } catch {
    return undefined;
  }
}

function isGone(holder: Holder | undefined, path: string): boolean {
  if (!holder)
    return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > EMPTY_IS_STALE_AFTER_MS;
  // Nothing is known here of another machine's processes.
  if (holder.host !== hostname()) return false;
  if (holder.boot !== undefined && holder.boot !== bootId()) return true;
  if (!isAlive(holder.pid)) return true;
  return holder.began !== undefined && holder.began !== beganAt(holder.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Linux alone tells both. */
function bootId(): string | undefined {
  return read('/proc/sys/kernel/random/boot_id').trim() || undefined;
}

/** In ticks since the machine's start: the 22nd field, of which the second, in parentheses, may hold anything. */
function beganAt(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Moves a stale lock away, and back again if another process has just replaced it. */
function takeAway(folder: string, path: string, stale: string): void {
  const aside = join(folder, `${LOCK}.${process.pid}`);
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (read(aside) === stale) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

function held(folder: string, path: string, holder: Holder | undefined): string {
  const who = holder
    ? `process ${holder.pid} on ${printable(holder.host)} since ${printable(holder.since)} (${printable(holder.command)})`
    : 'another process';
  const elsewhere = holder && holder.host !== hostname() ? `; if it has ended, remove ${path}` : '';
  return `${folder} is in use by ${who}: wait, stop it, or choose another --out${elsewhere}`;
}
