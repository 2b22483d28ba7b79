import { closeSync, openSync, writeSync } from 'node:fs';
import { unwritable } from './files.ts';

/** A file that grows. */
export interface Appended {
  append(data: Uint8Array | string): void;
  close(): void;
}

/** @throws UserError (also while writing) when the disk refuses */
export function appendTo(path: string): Appended {
  const guard = <T>(act: () => T): T => {
    try {
      return act();
    } catch (error) {
      throw unwritable(path, error);
    }
  };
  const fd = guard(() => openSync(path, 'a'));
  return {
    append: (data) => {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data;
      guard(() => {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      });
    },
    close: () => closeSync(fd),
  };
}
