/** The page where there is no WebGPU, by keyboard, at any width, and as assistive technology meets it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { moco, temporaryFolder } from '../../../packages/cli/src/testing.ts';
import { decodeCheckpoint } from '../../../packages/run/src/checkpoint.ts';
import { download, inPhase, look, openFolder, set, site, tabs, violations } from './browser.ts';
import { emojiFolder } from './images.ts';

const open = tabs('--disable-features=WebGPU', '--disable-gpu');
const images = await emojiFolder(48);

async function begin(page: Page, more: Readonly<Record<string, string>> = {}): Promise<void> {
  await openFolder(page, images);
  await set(page, { batchSize: '16', mocoK: '64', ...more });
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
      /^For 48 images the batch is 16, the queue 32 keys\. Training runs on WebAssembly: .*WebGPU/,
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
    // A file is made between steps: of a training that still ran, another one would be further.
    const folder = temporaryFolder();
    const stepOf = async () => {
      const file = await download(page, 'checkpoint', folder);
      return decodeCheckpoint(readFileSync(file), file).info.globalStep;
    };
    const done = await stepOf();
    expect(await stepOf()).toBe(done);
    const step = `${done} of 300`;
    await page.waitForFunction((text) => document.getElementById('n-step')!.textContent === text, step);
    await page.click('text=Go on');
    await page.click('text=Pause');
    await page.click('text=Go on');
    await page.waitForFunction((before) => document.getElementById('n-step')!.textContent !== before, step);
    await page.click('text=Pause');
    await page.click('text=Start over');
    await page.waitForFunction(() => /^[12] of/.test(document.getElementById('n-step')!.textContent!));
    expect(complaints).toEqual([]);
  });
  it('ends when other images are opened', async () => {
    const { page, complaints } = await open();
    await begin(page);
    await mapped(page);
    await page.waitForSelector('#view-query[aria-label^="Query view of"]');
    await page.click('#emoji');
    await inPhase(page, 'ready');
    expect(await page.textContent('#images')).toBe('610 images of emoji');
    // Nothing of the other training stays.
    const numbers = await page.$$eval('.numbers dd', (all) => all.map(({ textContent }) => textContent));
    expect(numbers).toEqual(['0', '-', '-', '-', '-']);
    expect(await page.locator('#curve *').count()).toBe(0);
    expect(await page.getAttribute('#view-image', 'aria-label')).toBe('No image yet');
    expect(await page.getAttribute('#view-query', 'aria-label')).toBe('Query view');
    const painted = await page.$eval('#view-query', (canvas) => {
      const { width, height } = canvas as HTMLCanvasElement;
      const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height);
      return data.some((value) => value !== 0);
    });
    expect(painted).toBe(false);
    expect(await page.getAttribute('#queue', 'aria-label')).toBe('The queue is empty');
    expect(await page.$eval('#progress', (bar) => (bar as HTMLProgressElement).value)).toBe(0);
    expect(await page.isHidden('#note')).toBe(true);
    expect(await page.locator('#map .tile').count()).toBe(610);
    expect(await page.isHidden('#error')).toBe(true);
    expect(complaints).toEqual([]);
  });
  it('refuses what can not work in a sentence', async () => {
    const { page } = await open();
    await begin(page, { batchSize: '32', mocoK: '64' });
    await inPhase(page, 'training');
    await page.click('text=Pause');
    await openFolder(page, await emojiFolder(15));
    await page.click('#main');
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toBe('15 images are too few: training takes 16 at least.');
    await set(page, { batchSize: '32', mocoK: '64', epochs: '0' });
    await page.click('#main');
    expect(await page.getAttribute('body', 'data-phase')).toBe('ready');
  });
});

describe('a training whose loss is no number', () => {
  it('ends, gives nothing away, and another takes its place', async () => {
    const { page } = await open();
    await begin(page, { lr: '1e30' });
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toMatch(
      /^The loss is (NaN|Infinity) at step \d+: start again with a lower learning rate\.$/,
    );
    expect(await page.textContent('#main')).toBe('Start training');
    expect(await page.isDisabled('[data-save=checkpoint]')).toBe(true);
    await set(page, { lr: '0.002', epochs: '2' });
    await page.click('#main');
    await inPhase(page, 'finished');
    expect(await page.isHidden('#error')).toBe(true);
    expect(await page.textContent('#n-step')).toBe('6 of 6');
  });
});

describe('features', () => {
  it('are a file that moco search and moco map take', async () => {
    const { page, complaints } = await open();
    await begin(page, { epochs: '1' });
    await inPhase(page, 'finished');
    const folder = temporaryFolder();
    const features = await download(page, 'features', folder);
    const checkpoint = await download(page, 'checkpoint', folder);
    const [first] = await page.$$eval('#map .tile', (tiles) =>
      tiles.map((tile) => (tile as HTMLElement).title),
    );
    // By its id there is one nearest that is not itself; as a file it finds itself.
    const known = await moco('search', features, first!, '-k', '1', '--json');
    expect(known).toMatchObject({ code: 0, err: '' });
    const file = await moco(
      'search',
      features,
      join(images, first!),
      '-k',
      '1',
      '--json',
      '--model',
      checkpoint,
    );
    expect(file).toMatchObject({ code: 0, err: '' });
    const [best] = JSON.parse(file.out).results[0].neighbours as { id: string; similarity: number }[];
    expect(best).toMatchObject({ id: first });
    expect(best!.similarity).toBeGreaterThan(0.9999);
    const map = join(folder, 'map.html');
    expect(await moco('map', features, '--data', images, '--out', map)).toMatchObject({ code: 0 });
    expect(existsSync(map)).toBe(true);
    expect(complaints).toEqual([]);
  });
});

describe('a page that can not work says so', () => {
  const said = (does: string) =>
    `The part of the page that ${does} could not be loaded, or is blocked: reload the page.`;

  it('where the script that trains is blocked', async () => {
    const { page } = await open({ block: /\/trainer-[^/]*\.js$/, phase: 'opening' });
    await page.waitForSelector('#error:not([hidden])');
    await page.click('#emoji');
    expect(await page.textContent('#error')).toBe(said('trains'));
    expect(await page.isVisible('#error')).toBe(true);
    expect(await page.textContent('#images')).toBe('');
  });
  it('where the script that draws the map is, and trains all the same', async () => {
    const { page } = await open({ block: /\/mapper-[^/]*\.js$/ });
    await begin(page, { epochs: '1' });
    await inPhase(page, 'finished');
    expect(await page.textContent('#agreement')).toBe(said('draws the map'));
  });
  it('where its own script is, as in a file', async () => {
    const { page } = await open({ url: `file://${site}/index.html`, phase: undefined });
    await page.waitForSelector('#stalled', { state: 'visible' });
    expect(await page.textContent('#stalled')).toMatch(/^The page has not started: .*web server/s);
    expect(await page.textContent('body')).not.toMatch(/Loading/);
  });
});

describe('a folder', () => {
  it('with damaged images is opened without them', async () => {
    const { page, complaints } = await open();
    const mixed = await emojiFolder(3);
    writeFileSync(join(mixed, 'broken.png'), 'no image');
    writeFileSync(join(mixed, 'notes.txt'), 'no image either');
    await openFolder(page, mixed);
    expect(await page.textContent('#images')).toBe('3 images of photos; 1 could not be read (broken.png)');
    expect(await page.locator('#map .tile').count()).toBe(3);
    expect(complaints).toEqual([]);
  });
  it('without images is refused, and what was open stays', async () => {
    const { page } = await open();
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'notes.txt'), 'no image');
    await page.setInputFiles('#folder', folder);
    await page.waitForSelector('#error:not([hidden])');
    expect(await page.textContent('#error')).toMatch(/holds no images/);
    expect(await page.textContent('#images')).toBe('610 images of emoji');
    expect(await page.getAttribute('body', 'data-phase')).toBe('ready');
  });
});

describe('the keyboard', () => {
  it('trains, walks the map and lists neighbours without a pointer', async () => {
    const { page, complaints } = await open();
    await openFolder(page, images);
    await set(page, { batchSize: '16', mocoK: '64', epochs: '2' });
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
    await page.evaluate(() => Promise.all(document.getAnimations().map(({ finished }) => finished)));
    expect(await violations(page)).toEqual([]);
    const overhang = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overhang).toBeLessThanOrEqual(0);
    const { colors, plain } = await look(page, `${colorScheme}-${width}`);
    expect(colors).toBeGreaterThan(1000);
    expect(plain).toBeLessThan(0.8);
    expect(complaints).toEqual([]);
  });
});
