import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../testing.ts';
import { browserForTests } from './browser-testing.ts';
import { chart, palette } from './chart.ts';
import { renderPage } from './page.ts';

const folder = temporaryFolder();
const open = browserForTests();

function written(name: string, body: string, script?: string): string {
  const file = join(folder, name);
  writeFileSync(file, renderPage({ title: name, body, ...(script !== undefined && { script }) }));
  return file;
}

describe('a page', () => {
  it.each(['light', 'dark'] as const)('shows its contents in %s', async (colorScheme) => {
    const svg = chart(
      { color: { range: [...palette] }, x: { domain: [0, 1] }, y: { domain: [0, 1] } },
      'axes',
    );
    const { complaints, screenshot } = await open(written('page.html', `<h1>Axes</h1>${svg}`), {
      colorScheme,
    });
    const { colors, plain, width, height } = await screenshot(`page-${colorScheme}`);
    expect([width, height]).toEqual([1280, 800]);
    expect(colors).toBeGreaterThan(10);
    expect(plain).toBeLessThan(1);
    expect(complaints).toEqual([]);
  });
  it('that is blank, complains or asks the network is found out', async () => {
    const blank = await open(written('blank.html', ''));
    expect(await blank.screenshot('blank')).toMatchObject({ colors: 1, plain: 1 });
    const broken = await open(written('broken.html', '<p>text</p>', 'throw new Error("broken")'));
    expect(broken.complaints.join()).toMatch('broken');
    const asking = await open(written('asking.html', '<img src="https://example.invalid/a.png" alt="">'));
    expect(asking.complaints.join()).toMatch('example.invalid');
  });
});
