/** Locks that the kernel holds for a process: it releases them however the process ends, in any container. */
import { createRequire } from 'node:module';

interface Native {
  tryLock(fd: number, offset?: number, length?: number): boolean;
}

/** On Windows a locked range can't be read either: so lock a byte beyond the content. */
const range: readonly number[] = process.platform === 'win32' ? [2 ** 30, 1] : [];

let native: Native | undefined | null = null;

/** Undefined on systems that the package has no prebuilt part for. */
function load(): Native | undefined {
  if (native !== null) return native;
  try {
    native = createRequire(import.meta.url)('fs-native-extensions') as Native;
  } catch {
    native = undefined;
  }
  return native;
}

/**
 * Locks an open file, until it is closed.
 * @returns whether it is locked now; undefined where that can't be done: a system or file system without such locks
 */
export function lockFile(fd: number): boolean | undefined {
  try {
    return load()?.tryLock(fd, ...range);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY' ? false : undefined;
  }
}
