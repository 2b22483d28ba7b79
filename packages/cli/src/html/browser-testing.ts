/** Pages in a real browser, for `*.page.ts` (scripts/test-pages.sh): no message in the console, an image that is not blank. */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { decodeFile } from '@moco-ts/data';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll } from 'vitest';
import { temporaryFolder } from '../testing.ts';

export interface PageOptions {
  /** Pixels; default 1280 x 800. */
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: 'light' | 'dark';
}

export interface OpenPage {
  readonly page: Page;
  /** What must stay empty: messages of the console that are errors or warnings, exceptions, requests other than the file's own. */
  readonly complaints: readonly string[];
  /** A PNG of what is in sight, or of the whole page. MOCO_SCREENSHOTS names a folder that keeps it as `NAME.png`. */
  screenshot(name: string, whole?: boolean): Promise<Screenshot>;
}

export interface Screenshot {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  /** How many different colours it has. */
  readonly colors: number;
  /** The share of its pixels that have the commonest colour, in [0, 1]: 1 is blank. */
  readonly plain: number;
}

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];

/** @throws Error when there is none */
export function findChromium(): string {
  const own = process.env.MOCO_CHROMIUM;
  const folders = (process.env.PATH ?? '').split(delimiter);
  const places = own ? [own] : names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const executable = places.find((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (executable === undefined)
    throw new Error('no Chromium: install it, or name its program with MOCO_CHROMIUM');
  return executable;
}

/** One browser for the tests of a file; it ends with them. */
export function browserForTests(): (file: string, options?: PageOptions) => Promise<OpenPage> {
  let browser: Promise<Browser> | undefined;
  const folder = process.env.MOCO_SCREENSHOTS ?? temporaryFolder();
  afterAll(async () => (await browser)?.close());
  return async (file, { width = 1280, height = 800, colorScheme = 'light' } = {}) => {
    browser ??= chromium.launch({ executablePath: findChromium(), args: ['--no-sandbox'] });
    const context = await (await browser).newContext({ viewport: { width, height }, colorScheme });
    // Only what hangs takes so long, however busy the machine is.
    context.setDefaultTimeout(1_200_000);
    const page = await context.newPage();
    const complaints: string[] = [];
    const own = pathToFileURL(file).href;
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => {
      const url = request.url();
      if (url !== own && !/^(data|blob):/.test(url)) complaints.push(`asked for ${url}`);
    });
    await page.goto(own);
    return { page, complaints, screenshot: (name, whole = false) => take(page, folder, name, whole) };
  };
}

/** A PNG of what is in sight, or of the whole page, as `NAME.png`. */
export async function take(page: Page, folder: string, name: string, whole: boolean): Promise<Screenshot> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path, fullPage: whole });
  const { width, height, data } = await decodeFile(path);
  const counts = new Map<number, number>();
  for (let i = 0; i < data.length; i += 3) {
    const color = (data[i]! << 16) | (data[i + 1]! << 8) | data[i + 2]!;
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  const most = [...counts.values()].reduce((a, b) => Math.max(a, b), 0);
  return { path, width, height, colors: counts.size, plain: most / (width * height) };
}
