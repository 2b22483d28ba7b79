/** The built page in Chromium, for `*.web.ts` (scripts/test-web.sh). */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import { preview } from 'vite';
import { afterAll, beforeAll } from 'vitest';
import { findChromium, type Screenshot, take } from '../../../packages/cli/src/html/browser-testing.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The built page. */
export const site = join(root, 'dist/site');

export interface Tab {
  readonly page: Page;
  /** What must stay empty: errors and warnings of the console, exceptions, requests to elsewhere. */
  readonly complaints: readonly string[];
}

export interface TabOptions {
  readonly width?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** Addresses that the browser does not get. */
  readonly block?: RegExp;
  /** Instead of the served page's. */
  readonly url?: string;
  /** Which the page must reach; undefined: none. */
  readonly phase?: string | undefined;
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
  return async (options = {}) => {
    const { width = 1280, colorScheme = 'light', block } = options;
    const url = options.url ?? server.resolvedUrls!.local[0]!;
    const phase = 'phase' in options ? options.phase : 'ready';
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    // Only what hangs takes so long, however busy the machine is.
    context.setDefaultTimeout(1_200_000);
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
    if (block) await context.route(block, (route) => route.abort());
    await page.goto(url);
    if (phase) await inPhase(page, phase);
    return { page, complaints };
  };
}

/** Waits until the page is in a phase: ready, training, paused, finished. */
export async function inPhase(page: Page, phase: string): Promise<void> {
  await page.waitForSelector(`body[data-phase="${phase}"]`);
}

/** Opens a folder of images as a user would. */
export async function openFolder(page: Page, folder: string): Promise<void> {
  await page.setInputFiles('#folder', folder);
  await page.waitForFunction(() => !/Loading|emoji/.test(document.getElementById('images')!.textContent!));
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
  const { violations: breaches } = await page.evaluate(() =>
    (window as unknown as { axe: typeof axe }).axe.run(),
  );
  return breaches.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' ')}`);
}

/** The whole page as an image; MOCO_SCREENSHOTS names a folder that keeps it. */
export function look(page: Page, name: string): Promise<Screenshot> {
  const { MOCO_SCREENSHOTS: folder = join(root, 'dist/screenshots') } = process.env;
  return take(page, folder, name, true);
}
