import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { libraryFault } from './elf.ts';

const root = mkdtempSync(join(tmpdir(), 'moco-elf-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const file = (name: string, bytes: Uint8Array) => {
  writeFileSync(join(root, name), bytes);
  return join(root, name);
};

it.runIf(process.platform === 'linux')(
  'a library that can be loaded here is told from those that can not',
  () => {
    // A program of this machine has the same headers as a library.
    const program = readFileSync(process.execPath);
    expect(libraryFault(process.execPath)).toBe(undefined);
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    expect(libraryFault(process.execPath, other)).toBe(`it was built for another processor than ${other}`);
    expect(libraryFault(process.execPath, 'riscv64')).toBe(undefined);
    for (const bytes of [100, program.length >> 1])
      expect(libraryFault(file('cut', program.subarray(0, bytes)))).toBe('a part of it is missing');
    expect(libraryFault(file('text', Buffer.from('root:x:0:0')))).toBe('it is no shared library of Linux');
    expect(libraryFault(file('empty', Buffer.alloc(0)))).toBe('it is no shared library of Linux');
    expect(libraryFault(dirname(process.execPath))).toMatch(/EISDIR/);
    expect(libraryFault(join(root, 'none'))).toMatch(/ENOENT/);
    // A link to itself can be opened by nobody, not even by root.
    symlinkSync('loop', join(root, 'loop'));
    expect(libraryFault(join(root, 'loop'))).toMatch(/ELOOP/);
  },
);
