import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../testing.ts';
import { LOCK, lockFolder } from './lock.ts';

const silent = () => {
  throw new Error('a note was not expected');
};

/** A folder with a lock that someone else wrote. */
function lockedBy(holder: object | string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, LOCK), typeof holder === 'string' ? holder : JSON.stringify(holder));
  return folder;
}
const gone = () => spawnSync(process.execPath, ['-e', '']).pid;
const holder = { host: hostname(), since: '2026-01-01T00:00:00.000Z', command: 'moco pretrain photos' };

describe('a run folder', () => {
  it('is held by one, who is named to the next, and free again after', () => {
    const folder = temporaryFolder();
    const lock = lockFolder(folder, silent);
    expect(() => lockFolder(folder, silent)).toThrow(
      new RegExp(
        `${folder} is in use by process ${process.pid} on ${hostname()} since .*choose another --out$`,
      ),
    );
    lock.release();
    expect(existsSync(join(folder, LOCK))).toBe(false);
    lockFolder(folder, silent).release();
  });

  it('is not taken from another process that lives', () => {
    const other = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    const folder = lockedBy({ ...holder, pid: other.pid });
    try {
      expect(() => lockFolder(folder, silent)).toThrow(/\(moco pretrain photos\): wait, stop it/);
      expect(JSON.parse(readFileSync(join(folder, LOCK), 'utf8')).pid).toBe(other.pid);
    } finally {
      other.kill();
    }
  });

  it.each([
    ['of a process that is gone', () => ({ ...holder, pid: gone() })],
    ['from before the machine was started', () => ({ ...holder, pid: process.pid, boot: 'another' })],
    ['of a process whose number another one has now', () => ({ ...holder, pid: process.pid, began: '1' })],
  ])('is taken over with a lock %s', (_, found) => {
    const folder = lockedBy(found());
    const notes: string[] = [];
    const lock = lockFolder(folder, (text) => notes.push(text));
    expect(notes).toEqual([expect.stringMatching(/the lock of process \d+, .*is taken over/)]);
    expect(JSON.parse(readFileSync(join(folder, LOCK), 'utf8')).pid).toBe(process.pid);
    lock.release();
  });

  it('is taken over with a lock that says nothing, but not at once', () => {
    const folder = lockedBy('');
    expect(() => lockFolder(folder, silent)).toThrow(/in use by another process/);
    utimesSync(join(folder, LOCK), 1, 1);
    const notes: string[] = [];
    lockFolder(folder, (text) => notes.push(text)).release();
    expect(notes).toHaveLength(1);
  });

  it('stays with a process of another machine, and how to free it is told', () => {
    const folder = lockedBy({ ...holder, host: 'elsewhere', pid: gone() });
    expect(() => lockFolder(folder, silent)).toThrow(/on elsewhere .*if it has ended, remove .*run\.lock/);
  });

  it('is left to whoever holds it by then', () => {
    const folder = temporaryFolder();
    const lock = lockFolder(folder, silent);
    writeFileSync(join(folder, LOCK), JSON.stringify({ ...holder, pid: 1 }));
    lock.release();
    expect(existsSync(join(folder, LOCK))).toBe(true);
  });
});
