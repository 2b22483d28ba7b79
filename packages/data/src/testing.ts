/** What the tests share: folders that go away, and tiny pictures. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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
