import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { ImageDataset } from './dataset.ts';
import { fileDataset } from './datasets/files.ts';
import { rawDataset } from './datasets/raw.ts';
import { byteDuplicates } from './duplicates.ts';
import { defineDataset } from './own.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-duplicates-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Files need not be images: nothing is decoded. */
function filesOf(...contents: string[]): ImageDataset {
  const entries = contents.map((content, i) => {
    writeFileSync(join(folder, `${i}`), content);
    return { path: `${i}`, id: `${i}` };
  });
  return fileDataset('files', folder, entries, { data: folder, split: 'train' });
}

it('counts files that equal an earlier one, not those of equal length alone', async () => {
  expect(await byteDuplicates(filesOf('aa', 'ab', 'aa', 'c', 'aa', 'ab'))).toBe(3);
  expect(await byteDuplicates(filesOf('a', 'b', 'c'))).toBe(0);
});

it('takes a file that is not there for one like no other', async () => {
  const files = filesOf('aa', 'aa');
  rmSync(join(folder, '1'));
  expect(await byteDuplicates(files)).toBe(0);
});

it('counts records in memory', async () => {
  const bytes = new SharedArrayBuffer(4 * 6);
  new Uint8Array(bytes).set([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0]);
  const raw = { bytes, length: 4, width: 2, height: 1, channels: 3 } as const;
  expect(await byteDuplicates(rawDataset('raw', 'train', 'raw', raw))).toBe(1);
});

it("does not look through a program's own images", async () => {
  const decode = () => ({ width: 1, height: 1, data: new Uint8Array(3) });
  expect(await byteDuplicates(defineDataset({ name: 'own', length: 2, decode }))).toBeUndefined();
});
