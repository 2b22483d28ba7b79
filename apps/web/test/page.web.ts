/** The page where there is no WebGPU, by keyboard, at any width, and as assistive technology meets it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../packages/cli/src/testing.ts';
import { inPhase, look, openFolder, set, tabs, violations } from './browser.ts';
import { emojiFolder } from './pictures.ts';

const open = tabs('--disable-features=WebGPU', '--disable-gpu');
const pictures = await emojiFolder(48);

async function begin(page: Page, more: Readonly<Record<string, string>> = {}): Promise<void> {
  await openFolder(page, pictures);
  await set(page, { batchSize: '16', queue: '64', ...more });
  await page.click('#main');
}
const mapped = (page: Page) =>
  page.waitForFunction(() => /^After|^The nearest/.test(document.getElementById('agreement')!.textContent!));

describe('without WebGPU', () => {
  it('says why, and trains on WebAssembly', async () => {
    const { page, complaints } = await open();
    await begin(page, { epochs: '3' });
    await inPhase(page, 'finished');
    expect(await page.textContent('#n-backend')).toBe('WebAssembly, resnet-micro');
    expect(await page.textContent('#note')).toMatch(
      /^Training runs on WebAssembly, which is slower, because .*WebGPU/,
    );
    expect(await page.textContent('#n-step')).toBe('9 of 9');
    expect(Number(await page.textContent('#n-loss'))).toBeGreaterThan(0);
    expect(complaints).toEqual([]);
  });
  it('is told so when it is asked for by name', async () => {
    const { page } = await open();
    await begin(page, { backend: 'webgpu' });
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toMatch(/^WebGPU can't be used: .*Choose WebAssembly\.$/);
    expect(await page.getAttribute('#main', 'aria-disabled')).toBe('false');
  });
});

describe('training', () => {
  it('is paused, goes on and starts over', async () => {
    const { page, complaints } = await open();
    await begin(page);
    await page.waitForFunction(
      () => Number.parseInt(document.getElementById('n-step')!.textContent!, 10) >= 2,
    );
    await page.click('text=Pause');
    await inPhase(page, 'paused');
    await page.waitForTimeout(1000);
    const step = await page.textContent('#n-step');
    await page.waitForTimeout(500);
    expect(await page.textContent('#n-step')).toBe(step);
    await page.click('text=Go on');
    await page.click('text=Pause');
    await page.click('text=Go on');
    await page.waitForFunction((before) => document.getElementById('n-step')!.textContent !== before, step);
    await page.click('text=Pause');
    await page.click('text=Start over');
    await page.waitForFunction(() => /^[12] of/.test(document.getElementById('n-step')!.textContent!));
    expect(complaints).toEqual([]);
  });
  it('ends when other pictures are opened', async () => {
    const { page, complaints } = await open();
    await begin(page);
    await mapped(page);
    await page.click('#emoji');
    await inPhase(page, 'ready');
    await page.waitForTimeout(2000);
    expect(await page.textContent('#pictures')).toBe('610 pictures of emoji');
    expect(await page.locator('#map .tile').count()).toBe(610);
    expect(await page.isHidden('#error')).toBe(true);
    expect(complaints).toEqual([]);
  });
  it('refuses what can not work in a sentence', async () => {
    const { page } = await open();
    await begin(page, { batchSize: '128', queue: '128' });
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toBe(
      'A batch of 128 is larger than the set of 48 pictures: choose a smaller batch.',
    );
    await set(page, { batchSize: '32', queue: '64', epochs: '0' });
    await page.click('#main');
    expect(await page.getAttribute('body', 'data-phase')).toBe('ready');
  });
});

describe('a folder', () => {
  it('with damaged pictures is opened without them', async () => {
    const { page, complaints } = await open();
    const mixed = await emojiFolder(3);
    writeFileSync(join(mixed, 'broken.png'), 'no picture');
    writeFileSync(join(mixed, 'notes.txt'), 'no picture either');
    await openFolder(page, mixed);
    expect(await page.textContent('#pictures')).toBe(
      '3 pictures of photos; 1 could not be read (photos/broken.png)',
    );
    expect(await page.locator('#map .tile').count()).toBe(3);
    expect(complaints).toEqual([]);
  });
  it('without pictures is refused, and what was open stays', async () => {
    const { page } = await open();
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'notes.txt'), 'no picture');
    await page.setInputFiles('#folder', folder);
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toMatch(/holds no pictures/);
    expect(await page.textContent('#pictures')).toBe('610 pictures of emoji');
  });
});

describe('the keyboard', () => {
  it('does everything', async () => {
    const { page, complaints } = await open();
    await openFolder(page, pictures);
    await set(page, { batchSize: '16', queue: '64', epochs: '2' });
    const focused = () => page.evaluate(() => document.activeElement?.id ?? '');
    await page.keyboard.press('Tab');
    await page.focus('#emoji');
    const order: string[] = [];
    while (!order.includes('map') && order.length < 12) {
      order.push(await focused());
      if (order.at(-1) === 'main') {
        await page.keyboard.press('Enter');
        await mapped(page);
        await inPhase(page, 'finished');
        expect(await focused()).toBe('main');
      }
      await page.keyboard.press('Tab');
    }
    expect(order.slice(0, 3)).toEqual(['emoji', 'folder', 'main']);
    expect(order).toContain('map');
    await page.focus('#map');
    const chosen = () => page.getAttribute('#map', 'aria-activedescendant');
    await page.keyboard.press('Home');
    expect(await chosen()).toBe('tile-0');
    expect(await page.locator('#map [aria-selected=true]').count()).toBe(1);
    const seen = new Set([await chosen()]);
    for (const key of ['ArrowRight', 'ArrowDown', 'ArrowLeft', 'ArrowUp', 'End']) {
      await page.keyboard.press(key);
      seen.add(await chosen());
    }
    expect(seen.size).toBeGreaterThan(2);
    expect(await page.textContent('#said')).toMatch(/\.png\. Nearest: .*\.png/);
    // On to the neighbours, of which each can be chosen in turn.
    await page.keyboard.press('Tab');
    const before = await chosen();
    await page.keyboard.press('Enter');
    expect(await chosen()).not.toBe(before);
    expect(await page.evaluate(() => document.activeElement?.closest('#near') !== null)).toBe(true);
    await page.focus('#map');
    await page.keyboard.press('Escape');
    expect(await chosen()).toBeNull();
    expect(complaints).toEqual([]);
  });
});

describe.each([
  ['light', 1280],
  ['dark', 1280],
  ['light', 400],
  ['dark', 400],
] as const)('in %s, %i pixels wide', (colorScheme, width) => {
  it('axe finds nothing, and nothing is cut off', async () => {
    const { page, complaints } = await open({ colorScheme, width });
    expect(await violations(page)).toEqual([]);
    await begin(page, { epochs: '2' });
    await mapped(page);
    await inPhase(page, 'finished');
    await page.focus('#map');
    await page.keyboard.press('End');
    await page.click('summary');
    await page.waitForTimeout(1200);
    expect(await violations(page)).toEqual([]);
    const overhang = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overhang).toBeLessThanOrEqual(0);
    const { colors, plain } = await look(page, `${colorScheme}-${width}`);
    expect(colors).toBeGreaterThan(1000);
    expect(plain).toBeLessThan(0.8);
    expect(complaints).toEqual([]);
  });
});
