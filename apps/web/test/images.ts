import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { temporaryFolder } from '../../../packages/cli/src/testing.ts';

/**
 * A folder `photos` of drawings as files. Without transparency, since browsers round what they lay on white in their own
 * way; of the encoder's own size, since a model with preprocessing resizes others in its own way, up to two levels off.
 */
export async function emojiFolder(count: number): Promise<string> {
  const require = createRequire(import.meta.url);
  const drawings = join(dirname(require.resolve('emoji-datasource-google/package.json')), 'img/google/64');
  const list = require('emoji-datasource-google/emoji.json') as readonly { readonly image: string }[];
  const folder = join(temporaryFolder(), 'photos');
  mkdirSync(folder);
  for (let i = 0; i < count; i++) {
    const { image } = list[i * 29]!;
    await sharp(join(drawings, image))
      .flatten({ background: 'white' })
      .resize(32)
      .toFile(join(folder, image));
  }
  return folder;
}
