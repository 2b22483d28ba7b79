import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import { type Disk, describeSystemError, makeFolder, removePartial, writeAtomic } from './files.ts';

const failure = (code: string) => Object.assign(new Error(`${code}: failed`), { code });

describe('an atomic write', () => {
  it('replaces a file and leaves nothing beside it', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'f');
    await writeAtomic(path, 'one');
    await writeAtomic(path, 'two');
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(readdirSync(folder)).toEqual(['f']);
  });

  it('forces the bytes to the disk before the rename', async () => {
    const folder = temporaryFolder();
    const calls: string[] = [];
    const disk: Disk = {
      open: async (path, flags) => {
        const file = await open(path, flags);
        return {
          writeFile: async (data) => {
            calls.push('write');
            await file.writeFile(data);
          },
          sync: async () => {
            calls.push('sync');
            await file.sync();
          },
          close: async () => {
            calls.push('close');
            await file.close();
          },
        };
      },
      rename: async (from, to) => {
        calls.push('rename');
        await rename(from, to);
      },
    };
    await writeAtomic(join(folder, 'f'), 'x', disk);
    expect(calls).toEqual(['write', 'sync', 'close', 'rename']);
  });

  it.each(['write', 'sync', 'rename'] as const)('keeps the old file when %s fails', async (part) => {
    const folder = temporaryFolder();
    const path = join(folder, 'f');
    await writeAtomic(path, 'old');
    const disk: Disk = {
      open: async (at, flags) => {
        const file = await open(at, flags);
        return {
          writeFile: async (data) => {
            await file.writeFile(String(data).slice(0, 1));
            if (part === 'write') throw failure('ENOSPC');
          },
          sync: async () => {
            if (part === 'sync') throw failure('ENOSPC');
          },
          close: () => file.close(),
        };
      },
      rename: async () => {
        throw failure('ENOSPC');
      },
    };
    const attempt = writeAtomic(path, 'new', disk);
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(
      `${path} could not be written: no space is left on the disk (ENOSPC)`,
    );
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(folder)).toEqual(['f']);
  });
});

it('removes what a kill between write and rename left behind', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'checkpoint-0001.safetensors.partial'), 'half');
  writeFileSync(join(folder, 'keep.txt'), '');
  // Another command's, which may be under way: moco report, or moco embed, whose is a folder.
  writeFileSync(join(folder, 'report.html.partial'), '');
  mkdirSync(join(folder, 'photos.parquet.partial'));
  await removePartial(folder);
  expect(readdirSync(folder)).toEqual(['keep.txt', 'photos.parquet.partial', 'report.html.partial']);
});

it('describes errors of the file system and no others', () => {
  const error = Object.assign(failure('EACCES'), { path: '/x' });
  expect(describeSystemError(error)).toBe('/x: no permission (EACCES)');
  expect(describeSystemError(new TypeError('defect'))).toBeUndefined();
});

describe('makeFolder', () => {
  it('makes a folder and those above it, and takes what is there', async () => {
    const folder = join(temporaryFolder(), 'a', 'b c', 'd');
    await makeFolder(folder);
    await makeFolder(folder);
    expect(readdirSync(join(folder, '..'))).toEqual(['d']);
  });

  it('refuses in one line where a file stands in the way', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    for (const path of [file, join(file, 'x', 'y')])
      await expect(makeFolder(path)).rejects.toThrow(
        `the folder ${path} could not be made: a part of the path is no folder`,
      );
  });

  // Node's own mkdir never comes back from there.
  it.runIf(existsSync('/proc/self'))('ends where the system takes no folder', async () => {
    for (const path of ['/proc/x', '/proc/x/y'])
      await expect(makeFolder(path)).rejects.toThrow(
        `the folder ${path} could not be made: the system takes no folder`,
      );
  });
});
