import { readdirSync, writeFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError, UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import { fileSource, namesIn, readWhole, textIfThere, withSource } from './source.ts';

const failing = (code: string) =>
  ({
    read: async () => {
      throw Object.assign(new Error(`${code}: failed`), { code });
    },
  }) as unknown as FileHandle;

describe('files', () => {
  it('come in parts of at most so many bytes', async () => {
    const path = join(temporaryFolder(), 'f');
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    writeFileSync(path, bytes);
    await withSource(
      path,
      async (source) => {
        expect(await source.read(0, 1000)).toEqual(bytes);
        expect(await source.read(990, 10)).toEqual(bytes.subarray(990));
      },
      33,
    );
    expect(await readWhole(path)).toEqual(bytes);
  });

  it.each([
    ['EMFILE', 'too many files are open in this process: raise ulimit -n (EMFILE)'],
    ['EIO', 'the disk failed (EIO)'],
    ['EACCES', 'no permission (EACCES)'],
  ])(
    'that the system refuses with %s are told in one line, which is none of damage',
    async (code, reason) => {
      const attempt = fileSource('c.safetensors', failing(code), 10).read(0, 10);
      await expect(attempt).rejects.toThrow(`c.safetensors could not be read: ${reason}`);
      await expect(attempt).rejects.toThrow(UserError);
      await expect(attempt).rejects.not.toThrow(CheckpointError);
    },
  );

  it('larger than the memory are told in one line', async () => {
    const attempt = fileSource('c.safetensors', failing('EIO'), 2 ** 52).read(0, 2 ** 52);
    await expect(attempt).rejects.toThrow(/c\.safetensors could not be read: .* does not fit into memory/);
  });

  it('that are none are refused, and what is missing is told from what is refused', async () => {
    const folder = temporaryFolder();
    await expect(readWhole(folder)).rejects.toThrow(`${folder} could not be read: it is no file`);
    expect(await textIfThere(join(folder, 'no'))).toBeUndefined();
    expect(await namesIn(join(folder, 'no'))).toEqual([]);
    await expect(textIfThere(folder)).rejects.toThrow(`${folder} could not be read: it is no file`);
    expect(readdirSync(folder)).toEqual([]);
  });
});
