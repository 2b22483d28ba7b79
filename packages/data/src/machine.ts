/** Errors of the machine, which say nothing of the file that was to be read. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DataError, type ErrorCode, UserError } from '@moco-ts/core';

/** The machine, a disk or a network failed while something was read: it is no damaged image. */
export class MachineError extends UserError {
  static override readonly code: ErrorCode = 'machine-failed';
  /** `MachineError` */
  override name = 'MachineError';
}

/** Passes when others close files or free memory. */
const SHORTAGES: Readonly<Record<string, string>> = {
  EMFILE: 'too many open files; raise the limit (ulimit -n) or give fewer workers',
  ENFILE: 'too many open files on this machine',
  EAGAIN: 'the system is short of resources',
  ENOMEM: 'out of memory; give fewer workers or smaller images',
  ENOBUFS: 'the system is short of memory',
};
const FAILURES: Readonly<Record<string, string>> = {
  EIO: 'the disk or network failed to read it (EIO)',
  EREMOTEIO: 'the network file system failed (EREMOTEIO)',
  ESTALE: 'the network file system lost it (ESTALE)',
  ENODEV: 'its disk is gone (ENODEV)',
  ENOTCONN: 'its file system is not connected (ENOTCONN)',
  ETIMEDOUT: 'the network file system did not answer (ETIMEDOUT)',
  EHOSTDOWN: 'the network file system is down (EHOSTDOWN)',
  EHOSTUNREACH: 'the network file system is out of reach (EHOSTUNREACH)',
  ENETDOWN: 'the network is down (ENETDOWN)',
  ENETUNREACH: 'the network is out of reach (ENETUNREACH)',
  ECONNRESET: 'the network file system hung up (ECONNRESET)',
};

/** For `catch`: undefined for a damaged image; other errors are thrown again. */
export function ifDamaged(error: unknown): undefined {
  if (!(error instanceof DataError)) throw error;
}

/** For `catch` of checks whether something exists: undefined, unless the machine failed. */
export function ifMissing(error: unknown): undefined {
  if (error instanceof UserError) throw error;
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code ?? '';

/** The error to report when a helper ended with one: a shortage of the machine is no defect. */
export function helperError(message: string, cause: unknown): Error {
  // Node tells a thread that could not begin by a code of its own, with the system's in the message.
  const inside = /Worker initialization failure: (\w+)/.exec(cause instanceof Error ? cause.message : '');
  const reason = SHORTAGES[inside?.[1] ?? codeOf(cause)];
  return reason === undefined
    ? new Error(message)
    : new MachineError(`no thread could be started: ${reason}`, { setting: 'workers' });
}

/** How long a shortage is waited out, in milliseconds; each wait is longer than the one before. */
const WAITS = [5, 20, 50, 100, 200, 400, 800, 1600, 3200];
/** A failed disk may answer the second time. */
const RETRIES = 2;

/**
 * Does what reads a file, again where the machine refused it.
 * @param name for the message
 * @throws MachineError if it keeps refusing; other errors as they come
 */
export async function patiently<T>(name: string, act: () => Promise<T>, pause = sleep): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await act();
    } catch (error) {
      const code = codeOf(error);
      const reason = SHORTAGES[code] ?? FAILURES[code];
      if (reason === undefined) throw error;
      const wait = attempt < (code in SHORTAGES ? WAITS.length : RETRIES) ? WAITS[attempt] : undefined;
      if (wait === undefined) throw new MachineError(`${name}: ${reason}`);
      await pause(wait);
    }
  }
}
