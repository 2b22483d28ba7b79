import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { temporaryFolder } from './browser.ts';

/** A folder `photos` of drawings of 64 x 64 pixels, as files. */
export function emojiFolder(count: number): string {
  const { resolve } = createRequire(import.meta.url);
  const drawings = join(dirname(resolve('emoji-datasource-google/package.json')), 'img', 'google', '64');
  const list = createRequire(import.meta.url)('emoji-datasource-google/emoji.json') as readonly {
    readonly image: string;
  }[];
  const folder = join(temporaryFolder(), 'photos');
  mkdirSync(folder);
  for (let i = 0; i < count; i++) {
    const { image } = list[i * 29]!;
    copyFileSync(join(drawings, image), join(folder, image));
  }
  return folder;
}
