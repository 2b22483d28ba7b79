import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { browserForTests, type OpenPage, type Screenshot } from '../html/browser-testing.ts';
import { imageFolder, moco, png, temporaryFolder, tiny } from '../testing.ts';
import type { Found } from '../vectors/search.ts';
import type { MapData } from './script.ts';

const folder = temporaryFolder();
const file = join(folder, 'map.html');
const set = join(folder, 'set.npy');
const open = browserForTests();

beforeAll(async () => {
  const images = imageFolder(120);
  // Would end the script, or begin another, if it stood there as it is.
  writeFileSync(join(images, '<!--<script>.png'), png(500));
  const run = join(folder, 'run');
  await moco('pretrain', images, '--out', run, ...tiny, '--epochs', '1', '--knn-every', '0');
  await moco('embed', run, images, '--out', set);
  const { code, err } = await moco('map', set, '--out', file, '--title', 'A <map> & more');
  expect([code, err]).toEqual([0, expect.not.stringContaining('warning')]);
});

/** Where an image is, before anything has moved. */
async function placeOf(page: Page, id: string): Promise<{ x: number; y: number }> {
  const { places, ids } = JSON.parse((await page.locator('#data').textContent())!) as MapData;
  const box = (await page.locator('#map').boundingBox())!;
  const side = Math.min(box.width, box.height) - 80;
  const at = ids.indexOf(id);
  return {
    x: box.x + (box.width - side) / 2 + places[2 * at]! * side,
    y: box.y + (box.height - side) / 2 + places[2 * at + 1]! * side,
  };
}

/** An image of the page when it draws no more: the same twice. */
async function still({ screenshot }: OpenPage, name: string): Promise<Screenshot> {
  let before = await screenshot(name);
  for (;;) {
    const now = await screenshot(name);
    if (now.colors > 1000 && now.colors === before.colors && now.plain === before.plain) return now;
    before = now;
  }
}

const listed = async (page: Page) => ({
  name: await page.locator('#name').textContent(),
  neighbours: await page.locator('#list li span').allTextContents(),
});

describe('the page of a map', () => {
  it.each(['light', 'dark'] as const)('shows many images in %s', async (colorScheme) => {
    const opened = await open(file, { colorScheme });
    const { complaints, page } = opened;
    const { plain } = await still(opened, `map-${colorScheme}`);
    expect(plain).toBeLessThan(0.95);
    expect(await page.title()).toBe('A <map> & more');
    expect(await page.locator('h1').textContent()).toBe('A <map> & more');
    expect(complaints).toEqual([]);
  });

  it('names what is pointed at, and shows the neighbours of what is clicked', async () => {
    const { complaints, screenshot, page } = await open(file);
    const { x, y } = await placeOf(page, 'p042.png');
    await page.mouse.move(x, y);
    expect(await page.locator('#tip').textContent()).toBe('p042.png');
    await page.mouse.click(x, y);
    const { out } = await moco('search', set, 'p042.png', '--json');
    const wanted = (JSON.parse(out) as { results: Found[] }).results[0]!.neighbours.map(({ id }) => id);
    expect(await listed(page)).toEqual({ name: 'p042.png', neighbours: wanted });
    expect((await screenshot('map-chosen')).colors).toBeGreaterThan(1000);
    // On to the first neighbour.
    await page.locator('#list button').first().click();
    expect((await listed(page)).name).toBe(wanted[0]);
    await page.locator('#map').press('Escape');
    expect(await page.locator('#chosen').isHidden()).toBe(true);
    expect(complaints).toEqual([]);
  });

  it('is searched, walked and chosen from by keys alone', async () => {
    const { complaints, page } = await open(file);
    const tab = async (id: string) => {
      for (let i = 0; i < 10; i++) {
        await page.keyboard.press('Tab');
        if ((await page.evaluate('document.activeElement.id')) === id) return;
      }
      throw new Error(`no way to ${id}`);
    };
    await tab('wanted');
    await page.keyboard.type('<!--<SCRIPT>');
    await page.keyboard.press('Enter');
    expect((await listed(page)).name).toBe('<!--<script>.png');
    await page.locator('#wanted').fill('P017');
    await page.keyboard.press('Enter');
    expect((await listed(page)).name).toBe('p017.png');
    await tab('map');
    await page.keyboard.press('ArrowLeft');
    const next = await page.locator('#tip').textContent();
    expect(next).toMatch(/^p\d{3}\.png$/);
    expect(next).not.toBe('p017.png');
    await page.keyboard.press('Enter');
    expect((await listed(page)).name).toBe(next);
    expect(await page.locator('#live').textContent()).toBe(`${next}: 10 nearest images in the list`);
    expect(complaints).toEqual([]);
  });

  it('zooms at the pointer, moves, and shows all again', async () => {
    const opened = await open(file);
    const { complaints, page } = opened;
    const before = await still(opened, 'map-all');
    const { x, y } = await placeOf(page, 'p042.png');
    await page.mouse.move(x, y);
    for (let i = 0; i < 4; i++) await page.mouse.wheel(0, -300);
    // What is under the pointer stays there.
    await page.mouse.move(x + 1, y);
    await expect.poll(() => page.locator('#tip').textContent()).toBe('p042.png');
    await page.mouse.down();
    await page.mouse.move(x - 100, y + 50, { steps: 4 });
    await page.mouse.up();
    expect(await page.locator('#chosen').isHidden()).toBe(true);
    await page.mouse.click(x - 101, y + 50);
    expect((await listed(page)).name).toBe('p042.png');
    await page.locator('#map').press('Escape');
    await page.locator('#map').press('0');
    await page.locator('#map').blur();
    await page.mouse.move(0, 0);
    const after = await still(opened, 'map-all-again');
    expect([after.colors, after.plain]).toEqual([before.colors, before.plain]);
    expect(complaints).toEqual([]);
  });

  it('fits a narrow screen', async () => {
    const { complaints, page } = await open(file, { width: 390, height: 800 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    const map = (await page.locator('#map').boundingBox())!;
    expect(map.height).toBeGreaterThan(300);
    expect(complaints).toEqual([]);
  });
});
