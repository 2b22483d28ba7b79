import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { browserForTests } from './browser-testing.ts';

const docs = fileURLToPath(new URL('../../../../docs', import.meta.url));
const open = browserForTests();
const images = readdirSync(docs, { recursive: true, encoding: 'utf8' }).filter(
  (path) => /\.(svg|png)$/.test(path) && !/node_modules|^api/.test(path),
);

it('there are images in docs', () => {
  expect(images.length).toBeGreaterThan(5);
});

it.each(images)('docs/%s is drawn, without a complaint', async (path) => {
  const { complaints, screenshot } = await open(join(docs, path));
  const { colors, plain } = await screenshot(path.replaceAll('/', '-'));
  expect(colors).toBeGreaterThan(10);
  expect(plain).toBeLessThan(0.995);
  expect(complaints).toEqual([]);
});
