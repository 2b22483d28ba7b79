import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { browserForTests } from '../html/browser-testing.ts';
import { moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const root = temporaryFolder();
const open = browserForTests();
const report = join(root, 'report.html');
const ablation = fileURLToPath(new URL('../../../../docs/ablation/report.html', import.meta.url));

beforeAll(async () => {
  const [images, run] = [join(root, 'images'), join(root, 'run')];
  for (const [at, name] of ['a', 'b'].entries()) writeImages(join(images, name), 10, 10 * at);
  const flags = ['--epochs', '2', '--hold-out', '0.2', '--knn-every', '1', '--out', run];
  expect(await moco('pretrain', images, ...tiny, ...flags)).toMatchObject({ code: 0 });
  expect(await moco('report', run, '-o', report)).toMatchObject({ code: 0 });
});

describe.each([
  ['the report of a run', () => report, ['Curves', 'What the network saw', 'Nearest neighbours']],
  ['the committed report of ablations', () => ablation, ['Ablations of momentum contrast']],
] as const)('%s', (name, file, headings) => {
  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 400],
  ] as const)(
    'is drawn in %s at %i px, asks for nothing and has no complaint',
    async (colorScheme, width) => {
      const { page, complaints, screenshot } = await open(file(), { colorScheme, width });
      const { colors, plain } = await screenshot(`${name}-${colorScheme}-${width}`, true);
      expect(colors).toBeGreaterThan(100);
      expect(plain).toBeLessThan(0.99);
      expect(complaints).toEqual([]);
      for (const heading of headings)
        expect(await page.getByRole('heading', { name: heading, exact: true }).count()).toBe(1);
      // Nothing but tables may be wider than the window, and those scroll by themselves.
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    },
  );
});
