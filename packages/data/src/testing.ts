/** What the tests share: folders that go away, and tiny pictures. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll } from 'vitest';

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'moco-data-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function write(path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

export type Format = 'png' | 'jpeg' | 'webp' | 'gif' | 'tiff' | 'avif';

/** An encoded picture of one colour, with a darker right half. */
export function encoded(
  color: [number, number, number],
  format: Format,
  width = 24,
  height = 16,
): Promise<Buffer> {
  const data = Buffer.alloc(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[i * 3 + c] = i % width < width / 2 ? color[c]! : color[c]! >> 1;
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
    [format]()
    .toBuffer();
}

/** `count` PNGs of different colours. */
export async function writePictures(folder: string, count: number, name = 'p'): Promise<void> {
  for (let i = 0; i < count; i++) {
    const color: [number, number, number] = [(i * 53) & 255, (i * 101) & 255, (255 - i * 29) & 255];
    write(join(folder, `${name}${String(i).padStart(3, '0')}.png`), await encoded(color, 'png'));
  }
}

const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * Runs the text of a module in a process of its own, under limits of the shell.
 * @param text imports sources of this package by paths that begin with `./`; what it gives to `answer` is the result
 * @param limits for `ulimit`
 * @returns the answer, and the most memory that the process held, in MiB
 */
export async function inChild(text: string, limits = ''): Promise<{ answer: unknown; peak: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'moco-child-'));
  const file = join(folder, 'child.mts');
  const head = `const answer = (value: unknown) => console.log(JSON.stringify({ answer: value, peak: process.resourceUsage().maxRSS / 1024 }));\n`;
  writeFileSync(file, head + text.replaceAll(" from './", ` from '${pathToFileURL(here).href}`));
  const command = `${limits && `ulimit ${limits} && `}exec "$0" --import tsx "$1"`;
  try {
    const run = promisify(execFile)('bash', ['-c', command, process.execPath, file], {
      cwd: here,
      env: { ...process.env, TSX_TSCONFIG_PATH: join(here, '../tsconfig.sources.json') },
    });
    return JSON.parse((await run).stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
