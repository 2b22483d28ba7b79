import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { SKIPPED, skipList } from './skipped.ts';

const lines = (folder: string) =>
  readFileSync(join(folder, SKIPPED), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { id: string; reason: string });

it('a run lists each damaged image once, with its reason, over all epochs and resumes', async () => {
  const images = imageFolder(20);
  writeFileSync(join(images, 'p003.png'), 'x');
  writeFileSync(join(images, 'two\nlines.png'), '');
  const run = join(temporaryFolder(), 'run');
  const flags = ['pretrain', images, ...tiny, '--epochs', '4', '--out', run];
  const { code, err } = await moco(...flags, '--max-steps', '5');
  expect(code).toBe(0);
  expect(await moco('pretrain', '--resume', run, '--max-steps', '8')).toMatchObject({ code: 0 });
  expect(
    lines(run)
      .map(({ id }) => id)
      .sort(),
  ).toEqual(['p003.png', 'two\nlines.png']);
  for (const { id, reason } of lines(run)) {
    expect(reason).toMatch(/not a readable image/);
    expect(err).toContain(`moco: warning: left out: ${reason}\n`);
    expect(reason).toContain(id.replace('\n', '; '));
  }
});

it('the terminal is told of ten, the file of all', () => {
  const folder = temporaryFolder();
  const warnings: string[] = [];
  const skips = skipList((text) => warnings.push(text), folder);
  // Each epoch and each evaluation meets them again.
  for (let i = 0; i < 90; i++) skips.onSkip({ id: `p${i % 30}`, reason: `p${i % 30}: bad` });
  expect([warnings.length, skips.count]).toEqual([11, 30]);
  expect(warnings.at(-1)).toMatch(/more images are left out: .*skipped\.jsonl lists them all/);
  expect(lines(folder)).toHaveLength(30);
});
