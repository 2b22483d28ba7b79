import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { temporaryFolder, write } from '../testing.ts';
import { openFolder } from './folder.ts';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  const readdir = (path: string, options: object) =>
    /private[\\/]?$/.test(path)
      ? Promise.reject(Object.assign(new Error('permission denied'), { code: 'EACCES' }))
      : real.readdir(path, options as { withFileTypes: true });
  return { ...real, readdir };
});

it('a folder beside the splits that may not be read is passed by', async () => {
  const root = temporaryFolder();
  for (const path of ['train/a/1.png', 'train/b/2.png', 'private/3.png', 'more/4.png'])
    write(join(root, path), '');
  const dataset = await openFolder(root, {});
  expect([dataset.length, dataset.notes]).toEqual([2, [`${root}: not read, beside train/: more`]]);
  await expect(openFolder(join(root, 'private'), {})).rejects.toThrow('permission denied');
});
