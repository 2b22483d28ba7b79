import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import * as fileLock from './file-lock.ts';
import { LOCK, lockFolder, lockOutput, withOutput } from './lock.ts';

vi.mock('./file-lock.ts', { spy: true });

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

/** Another process that holds the kernel's lock of a file, and writes nothing into it but what it is given. */
async function holding(path: string, text: string) {
  const native = createRequire(import.meta.url).resolve('fs-native-extensions');
  const child = spawn(
    process.execPath,
    [
      '-e',
      `const fs = require('fs');
      const [path, text, native] = process.argv.slice(1);
      const fd = fs.openSync(path, 'w+');
      fs.writeSync(fd, text);
      const range = process.platform === 'win32' ? [2 ** 30, 1] : [];
      console.log(require(native).tryLock(fd, ...range));
      process.stdin.resume();`,
      path,
      text,
      native,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = new Promise((resolve) => child.on('close', resolve));
  expect(
    await new Promise((resolve) => child.stdout.once('data', (data) => resolve(String(data).trim()))),
  ).toBe('true');
  return { child, ended };
}

/** As on a system, or a file system, without such locks. */
const withoutKernel = () => vi.mocked(fileLock.lockFile).mockReturnValue(undefined);

beforeEach(() => vi.mocked(fileLock.lockFile).mockReset());

describe('what the kernel holds', () => {
  it('is locked there, where the tests run', async () => {
    const folder = temporaryFolder();
    const lock = await lockFolder(folder, silent);
    expect(JSON.parse(readFileSync(join(folder, LOCK), 'utf8'))).toMatchObject({ kernel: true });
    lock.release();
  });

  it('is not taken from a process of another container, whose number says nothing here', async () => {
    const folder = temporaryFolder();
    // The same host name and start, and a number that no process has here.
    const { child, ended } = await holding(
      join(folder, LOCK),
      JSON.stringify({ ...holder, pid: gone(), namespace: 'pid:[1]', kernel: true }),
    );
    await expect(lockFolder(folder, silent)).rejects.toThrow(
      /in use by process .* \(moco pretrain photos\): wait, stop it, or choose another output$/,
    );
    child.kill('SIGKILL');
    await ended;
    const notes: string[] = [];
    (await lockFolder(folder, (text) => notes.push(text))).release();
    expect(notes).toEqual([expect.stringContaining('is taken over')]);
  });

  it('is free once its process has been killed, whatever the file says', async () => {
    const folder = temporaryFolder();
    const text = JSON.stringify({ ...holder, pid: process.pid, kernel: true });
    const { child, ended } = await holding(join(folder, LOCK), text);
    child.kill('SIGKILL');
    await ended;
    (await lockFolder(folder, () => undefined)).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of another machine stays: not every file system tells one kernel of the other', async () => {
    const folder = lockedBy({ ...holder, host: 'elsewhere', boot: 'other', pid: gone(), kernel: true });
    await expect(lockFolder(folder, silent)).rejects.toThrow(
      /on elsewhere .*if it has ended, remove .*run\.lock/,
    );
  });
});

describe.each([
  ['with the kernel', () => undefined],
  ['without the kernel', withoutKernel],
])('a run folder, %s,', (_, prepare) => {
  beforeEach(() => {
    prepare();
  });

  it('is held by one, who is named to the next, and free again after', async () => {
    const folder = temporaryFolder();
    const lock = await lockFolder(folder, silent);
    await expect(lockFolder(folder, silent)).rejects.toThrow(
      new RegExp(
        `${folder} is in use by process ${process.pid} on ${hostname()} since .*choose another output$`,
      ),
    );
    lock.check();
    lock.release();
    expect(existsSync(join(folder, LOCK))).toBe(false);
    (await lockFolder(folder, silent)).release();
  });

  it('is not taken from another process that lives', async () => {
    const other = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    const folder = lockedBy({ ...holder, pid: other.pid });
    try {
      await expect(lockFolder(folder, silent)).rejects.toThrow(/\(moco pretrain photos\): wait, stop it/);
      expect(JSON.parse(readFileSync(join(folder, LOCK), 'utf8')).pid).toBe(other.pid);
    } finally {
      other.kill();
    }
  });

  it('is not taken from a process in another numbering of processes', async () => {
    const folder = lockedBy({ ...holder, pid: gone(), namespace: 'pid:[1]' });
    await expect(lockFolder(folder, silent)).rejects.toThrow(/if it has ended, remove .*run\.lock$/);
  });

  it.each([
    ['of a process that is gone', () => ({ ...holder, pid: gone() })],
    ['from before the machine was started', () => ({ ...holder, pid: process.pid, boot: 'another' })],
    ['of a process whose number another one has now', () => ({ ...holder, pid: process.pid, began: '1' })],
  ])('is taken over with a lock %s', async (_, stale) => {
    const folder = lockedBy(stale());
    const notes: string[] = [];
    const lock = await lockFolder(folder, (text) => notes.push(text));
    expect(notes).toEqual([expect.stringMatching(/the lock of process \d+, .*is taken over/)]);
    expect(JSON.parse(readFileSync(join(folder, LOCK), 'utf8')).pid).toBe(process.pid);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stays with a process of another machine, and how to free it is told', async () => {
    const folder = lockedBy({ ...holder, host: 'else\u001b[31mwhere', pid: gone() });
    await expect(lockFolder(folder, silent)).rejects.toThrow(
      /on else\\x1b\[31mwhere .*if it has ended, remove .*run\.lock/,
    );
  });

  it('is left to whoever holds it by then, and what goes on writing is told', async () => {
    const folder = temporaryFolder();
    const lock = await lockFolder(folder, silent);
    rmSync(join(folder, LOCK));
    writeFileSync(join(folder, LOCK), JSON.stringify({ ...holder, pid: 1 }));
    expect(() => lock.check()).toThrow(
      `${folder} could not be written: it, or ${join(folder, LOCK)}, was removed`,
    );
    lock.release();
    expect(existsSync(join(folder, LOCK))).toBe(true);
  });

  it('that is removed under way is told', async () => {
    const folder = join(temporaryFolder(), 'run');
    const lock = await lockFolder(folder, silent);
    rmSync(folder, { recursive: true });
    expect(() => lock.check()).toThrow('was removed or replaced under way');
    lock.release();
    expect(existsSync(folder)).toBe(false);
  });

  it('is made, and taken away again if nothing was written', async () => {
    const above = temporaryFolder();
    const folder = join(above, 'a', 'run');
    (await lockFolder(folder, silent)).release();
    expect(readdirSync(above)).toEqual([]);
    const lock = await lockFolder(folder, silent);
    mkdirSync(join(folder, 'x'));
    lock.release();
    expect(existsSync(folder)).toBe(true);
  });
});

it('without the kernel, a lock that says nothing is taken over, but not at once', async () => {
  withoutKernel();
  const folder = lockedBy('');
  await expect(lockFolder(folder, silent)).rejects.toThrow(/in use by another process/);
  utimesSync(join(folder, LOCK), 1, 1);
  (await lockFolder(folder, silent)).release();
});

it('a file that is written is held by one', async () => {
  const path = join(temporaryFolder(), 'vectors.parquet');
  await withOutput(path, silent, async () => {
    await expect(lockOutput(path, silent)).rejects.toThrow(`${path} is in use by process ${process.pid}`);
    (await lockOutput(`${path}2`, silent)).release();
  });
  (await lockOutput(path, silent)).release();
});

it.runIf(process.platform !== 'win32')(
  'a folder that can not be looked at any more is let go without a word',
  async () => {
    const above = temporaryFolder();
    const [folder, moved] = [join(above, 'run'), join(above, 'moved')];
    const lock = await lockFolder(folder, silent);
    renameSync(folder, moved);
    // A path without an end.
    symlinkSync('run', folder);
    expect(() => statSync(folder)).toThrow('ELOOP');
    lock.release();
    const notes: string[] = [];
    (await lockFolder(moved, (note) => notes.push(note))).release();
    expect(notes).toEqual([expect.stringContaining(`the lock of process ${process.pid}`)]);
  },
);
