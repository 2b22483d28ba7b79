/** The built page in Chromium, for `*.web.ts` (scripts/test-web.sh). */
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeFile } from '@moco-ts/data';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import { preview } from 'vite';
import { afterAll, beforeAll } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

export interface Tab {
  readonly page: Page;
  /** What must stay empty: errors and warnings of the console, exceptions, requests to elsewhere. */
  readonly complaints: readonly string[];
}

export interface TabOptions {
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
}

/** A temporary folder that goes with the tests of a file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'moco-web-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A server of the built page and one browser for the tests of a file. @param flags of Chromium */
export function tabs(...flags: string[]): (options?: TabOptions) => Promise<Tab> {
  let browser: Browser;
  let server: Awaited<ReturnType<typeof preview>>;
  beforeAll(async () => {
    const address = { host: '127.0.0.1', port: 0 };
    server = await preview({
      root,
      configFile: join(root, 'vite.config.ts'),
      preview: address,
      logLevel: 'error',
    });
    browser = await chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox', ...flags] });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  return async ({ width = 1280, colorScheme = 'light' } = {}) => {
    const url = server.resolvedUrls!.local[0]!;
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    // The context sees what workers ask for, too.
    context.on('request', (request) => {
      if (
        (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) ||
        request.method() !== 'GET'
      )
        complaints.push(`asked for ${request.method()} ${request.url()}`);
    });
    await page.goto(url);
    await inPhase(page, 'ready');
    return { page, complaints };
  };
}

function findChromium(): string {
  const own = process.env.MOCO_CHROMIUM;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];
  const folders = (process.env.PATH ?? '').split(delimiter);
  const places = own ? [own] : names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found === undefined) throw new Error('no Chromium: install it, or name its program with MOCO_CHROMIUM');
  return found;
}

/** Waits until the page is in a phase: ready, training, paused, finished. @param timeout in milliseconds */
export async function inPhase(page: Page, phase: string, timeout = 60_000): Promise<void> {
  await page.waitForSelector(`body[data-phase="${phase}"]`, { timeout });
}

/** Opens a folder of pictures as a user would. */
export async function openFolder(page: Page, folder: string): Promise<void> {
  await page.setInputFiles('#folder', folder);
  await page.waitForFunction(() => !/Loading|emoji/.test(document.getElementById('pictures')!.textContent!));
}

/** Sets what the form has, by name. */
export async function set(page: Page, values: Readonly<Record<string, string>>): Promise<void> {
  await page.click('summary');
  for (const [name, value] of Object.entries(values)) {
    const field = page.locator(`[name=${name}]`);
    if ((await field.evaluate(({ tagName }) => tagName)) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
  await page.click('summary');
}

/** Presses a button of "Take it along" and keeps the file. */
export async function download(page: Page, kind: string, folder: string): Promise<string> {
  const coming = page.waitForEvent('download');
  await page.click(`[data-save=${kind}]`);
  const file = await coming;
  const path = join(folder, file.suggestedFilename());
  await file.saveAs(path);
  return path;
}

/** What axe finds wrong, by WCAG 2.2 AA and its own best practices. */
export async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations: found } = await page.evaluate(() =>
    (window as unknown as { axe: typeof axe }).axe.run(),
  );
  return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' ')}`);
}

/**
 * How many colours the page shows, and the share of the commonest, in [0, 1]: 1 is blank. MOCO_SCREENSHOTS names a folder
 * that keeps the picture.
 */
export async function look(
  page: Page,
  name: string,
): Promise<{ colors: number; plain: number; ground: number }> {
  const folder = process.env.MOCO_SCREENSHOTS ?? mkdtempSync(join(tmpdir(), 'moco-web-'));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path, fullPage: true });
  const { width, height, data } = await decodeFile(path);
  if (!process.env.MOCO_SCREENSHOTS) rmSync(folder, { recursive: true });
  const counts = new Map<number, number>();
  for (let i = 0; i < data.length; i += 3) {
    const color = (data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!;
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  return { colors: counts.size, plain: Math.max(...counts.values()) / (width * height), ground: data[0]! };
}
