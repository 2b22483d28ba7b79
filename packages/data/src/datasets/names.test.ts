import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createLoader } from '../loader/create.ts';
import { openDataset, reopenDataset } from '../open.ts';
import { encoded, temporaryFolder, write } from '../testing.ts';
import { views } from '../views/config.ts';
import { nameOfBytes, nameOfText, pathOf } from './names.ts';

const root = temporaryFolder();
const RED: [number, number, number] = [220, 30, 40];

// By the rule: what is not UTF-8 as \xHH, a backslash that would read as such as \x5c.
it.each([
  ['plain', Buffer.from('cat 1.png'), 'cat 1.png'],
  ['UTF-8', Buffer.from('caf\u00e9 \u{1f600}.png'), 'caf\u00e9 \u{1f600}.png'],
  ['Latin-1', Buffer.from('caf\xe9.png', 'latin1'), 'caf\\xe9.png'],
  ['Shift JIS', Buffer.from([0x8e, 0xca, 0x90, 0x5e, 0x2e, 0x70]), '\\x8e\u0290^.p'],
  ['cut UTF-8', Buffer.from([0x61, 0xe2, 0x82]), 'a\\xe2\\x82'],
  ['overlong', Buffer.from([0xc0, 0xaf]), '\\xc0\\xaf'],
  ['a surrogate', Buffer.from([0xed, 0xa0, 0x80]), '\\xed\\xa0\\x80'],
  ['what looks escaped', Buffer.from('caf\\xe9.png'), 'caf\\x5cxe9.png'],
  ['other backslashes', Buffer.from('a\\b\\xyz'), 'a\\b\\xyz'],
  ['U+FFFD itself', Buffer.from('\ufffd.png'), '\ufffd.png'],
])('%s names are text that leads back to the bytes', (_, bytes, text) => {
  expect(nameOfBytes(bytes)).toBe(text);
  const path = pathOf('', text);
  expect(Buffer.from(path)).toEqual(bytes);
  const utf8 = Buffer.from(bytes.toString()).equals(bytes);
  expect(typeof path).toBe(utf8 ? 'string' : 'object');
  if (utf8) expect(nameOfText(bytes.toString())).toBe(text);
});

// Other systems' file names are text.
it.runIf(process.platform === 'linux')(
  'images in folders of any names are read, by every thread',
  async () => {
    const folder = join(root, 'latin');
    const bytes = (name: string) => Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
    mkdirSync(bytes('caf\xe9'), { recursive: true });
    const image = await encoded(RED, 'png');
    writeFileSync(bytes('caf\xe9/gr\xfcn.png'), image);
    writeFileSync(bytes('caf\xe9/gr\xfcn.JPG'), await encoded(RED, 'jpeg'));
    write(join(folder, 'tea', 'a.png'), image);
    write(join(folder, 'tea', 'caf\\xe9.png'), image);
    symlinkSync(bytes('caf\xe9'), bytes('linked\xe9'));
    const set = await openDataset(folder);
    expect(Array.from({ length: set.length }, (_, i) => set.id(i))).toEqual([
      'caf\\xe9/gr\\xfcn.JPG',
      'caf\\xe9/gr\\xfcn.png',
      'linked\\xe9/gr\\xfcn.JPG',
      'linked\\xe9/gr\\xfcn.png',
      'tea/a.png',
      'tea/caf\\x5cxe9.png',
    ]);
    expect(set.classes).toEqual(['caf\\xe9', 'linked\\xe9', 'tea']);
    for (const opened of [set, await reopenDataset(set.source)])
      for (let i = 0; i < opened.length; i++) expect((await opened.decode(i)).width).toBe(24);
    const loader = createLoader(set, {
      batch: 6,
      size: 8,
      views: views.v1({ size: 8 }),
      mean: [0, 0, 0],
      std: [1, 1, 1],
      seed: 0,
      workers: 1,
      maxBad: 0,
    });
    try {
      for await (const { indices } of loader.epoch(0))
        expect([...indices].sort()).toEqual([0, 1, 2, 3, 4, 5]);
    } finally {
      await loader.close();
    }
    writeFileSync(bytes('caf\xe9/br\xfcn.png'), 'damaged');
    await expect((await openDataset(folder)).decode(0)).rejects.toThrow(
      /caf\\xe9\/br\\xfcn\.png: not a readable/,
    );
  },
);
