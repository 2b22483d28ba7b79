/**
 * One writer per folder or file: the output of two would mix. The kernel holds the lock where it can; the content of the lock
 * file names the holder, and decides where the kernel can't lock.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { printable, UserError } from '@moco-ts/core';
import { lockFile } from './file-lock.ts';
import { makeFolder, unwritable } from './files.ts';

/** What a lock tells of its holder. */
interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  readonly command: string;
  /** Whether the kernel holds it: if not, the holder is known by what follows alone. */
  readonly kernel?: boolean;
  /** Where the system tells: which start of the machine, in which numbering of processes, and when the process began. */
  readonly boot?: string;
  readonly namespace?: string;
  readonly began?: string;
}

export interface Lock {
  /** @throws UserError when the lock, or all that it is for, was removed or replaced under way */
  check(): void;
  release(): void;
}

/** Called when a lock was taken over. */
type Note = (text: string) => void;

export const LOCK = 'run.lock';
/** A lock is written at once: one that says nothing for so long was left by a crash. */
const EMPTY_IS_STALE_AFTER_MS = 10_000;

/**
 * Takes a folder, which is made where there is none. A lock of a process that is gone is taken over.
 * @throws UserError when another process holds it, or the disk refuses
 */
export async function lockFolder(folder: string, note: Note): Promise<Lock> {
  const made = await makeFolder(folder);
  const lock = take(join(folder, LOCK), folder, note);
  return { ...lock, release: () => release(lock, made) };
}

/** The same of a file that is to be written, which need not exist. */
export async function lockOutput(path: string, note: Note): Promise<Lock> {
  const made = await makeFolder(dirname(path));
  const lock = take(`${path}.lock`, path, note);
  return { ...lock, release: () => release(lock, made) };
}

/** Holds the lock of a file for as long as `write` takes. */
export async function withOutput<T>(path: string, note: Note, write: (lock: Lock) => Promise<T>): Promise<T> {
  const lock = await lockOutput(path, note);
  try {
    return await write(lock);
  } finally {
    lock.release();
  }
}

/** @param made folders that are taken away again if nothing was written into them, the innermost first */
function release(lock: Lock, made: readonly string[]): void {
  lock.release();
  try {
    for (const folder of made) rmdirSync(folder);
  } catch {
    // It holds something, as it should.
  }
}

function take(path: string, what: string, note: Note): Lock {
  let gone: Holder | undefined;
  // Another process may take the file away between its being opened and locked.
  for (let attempt = 0; attempt < 100; attempt++) {
    const file = create(path) ?? reopen(path);
    if (file === undefined) continue;
    const locked = lockFile(file.fd);
    if (locked !== false && !isAt(file.fd, path)) {
      closeSync(file.fd);
      continue;
    }
    const text = file.created ? '' : read(path);
    const holder = parse(text);
    if (locked === false || (!file.created && !isFree(holder, locked === true, path))) {
      closeSync(file.fd);
      throw held(what, path, holder, locked === false);
    }
    if (!file.created && locked !== true) {
      gone = holder;
      // Of two that find it stale, one alone may go on: it is made anew, which one of them can.
      closeSync(file.fd);
      takeAway(path, text);
      continue;
    }
    tell(file.fd, path, locked === true);
    gone ??= holder;
    if (gone)
      note(
        `${what}: the lock of process ${gone.pid}, which began ${said(gone.since)}, is taken over: it has ended without giving it back`,
      );
    return lockOf(file.fd, path, what);
  }
  throw held(what, path, parse(read(path)));
}

function lockOf(fd: number, path: string, what: string): Lock {
  return {
    check: () => {
      if (!isAt(fd, path))
        throw new UserError(
          `${what} could not be written: it, or ${path}, was removed or replaced under way`,
          { code: 'file-unwritable' },
        );
    },
    release: () => {
      // Whoever took it over, by hand perhaps, keeps it. A file that can't be looked at or removed any more is taken over by the next:
      // what was written under the lock is done, or failed for a reason of its own.
      try {
        if (isAt(fd, path)) rmSync(path, { force: true });
      } catch {
      } finally {
        closeSync(fd);
      }
    },
  };
}

interface LockFile {
  readonly fd: number;
  readonly created: boolean;
}

/** @returns undefined where it exists */
function create(path: string): LockFile | undefined {
  try {
    return { fd: openSync(path, 'wx+'), created: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw unwritable(path, error);
  }
}

/** @returns undefined where it has just gone */
function reopen(path: string): LockFile | undefined {
  try {
    return { fd: openSync(path, 'r+'), created: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unwritable(path, error);
  }
}

/** Whether an open file is still what a path leads to. */
function isAt(fd: number, path: string): boolean {
  const there = statSync(path, { bigint: true, throwIfNoEntry: false });
  const here = fstatSync(fd, { bigint: true });
  return there !== undefined && there.ino === here.ino && there.dev === here.dev;
}

function tell(fd: number, path: string, kernel: boolean): void {
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, `${JSON.stringify({ ...self(), kernel })}\n`, 0);
  } catch (error) {
    rmSync(path, { force: true });
    closeSync(fd);
    throw unwritable(path, error);
  }
}

function self(): Holder {
  const boot = bootId();
  const namespace = pidNamespace();
  const began = beganAt(process.pid);
  return {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    command: ['moco', ...process.argv.slice(2)].join(' '),
    ...(boot !== undefined && { boot }),
    ...(namespace !== undefined && { namespace }),
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

/** @param locked whether this process has the kernel's lock on the file that tells of the holder */
function isFree(holder: Holder | undefined, locked: boolean, path: string): boolean {
  if (!holder) return locked || isOld(path);
  const { host, boot, namespace, began, pid, kernel } = holder;
  const sameStart = boot !== undefined && boot === bootId();
  const sameHost = host === hostname();
  // Nothing is known here of another machine's processes: its file system may not tell kernels of each other.
  if (!sameStart && !sameHost) return false;
  if (locked && kernel === true) return true;
  if (boot !== undefined && !sameStart) return true;
  // The numbers of processes in another container are others.
  if (namespace !== undefined && namespace !== pidNamespace()) return false;
  return !isAlive(pid) || (began !== undefined && began !== beganAt(pid));
}

const isOld = (path: string) =>
  Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > EMPTY_IS_STALE_AFTER_MS;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: another user's.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Linux alone tells these. */
function bootId(): string | undefined {
  return read('/proc/sys/kernel/random/boot_id').trim() || undefined;
}

function pidNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}

/** In ticks since the machine's start: the 22nd field, of which the second, in parentheses, may hold anything. */
function beganAt(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** Moves a stale lock away, and back again if another process has just replaced it. */
function takeAway(path: string, stale: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (read(aside) === stale) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

const said = (text: unknown) => printable(String(text), 200);

/** @param alive whether that is known */
function held(what: string, path: string, holder: Holder | undefined, alive = false): UserError {
  const who = holder
    ? `process ${holder.pid} on ${said(holder.host)} since ${said(holder.since)} (${said(holder.command)})`
    : 'another process';
  const elsewhere =
    !alive && holder && (holder.host !== hostname() || holder.namespace !== pidNamespace())
      ? `; if it has ended, remove ${path}`
      : '';
  return new UserError(`${what} is in use by ${who}: wait, stop it, or choose another output${elsewhere}`, {
    code: 'file-locked',
  });
}
