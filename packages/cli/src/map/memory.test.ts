import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { inChild } from '../../../data/src/testing.ts';
import { temporaryFolder } from '../testing.ts';

it('thumbnails of photos hold few of them in memory', async () => {
  const folder = temporaryFolder();
  const photo = sharp({ create: { width: 4000, height: 3000, channels: 3, background: '#336699' } });
  const files: [string, Buffer][] = [
    ['a.jpg', await photo.clone().jpeg().toBuffer()],
    ['turned.jpg', await photo.clone().jpeg().withMetadata({ orientation: 6 }).toBuffer()],
    ['c.png', await photo.clone().png().toBuffer()],
  ];
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  const { answer, peak } = await inChild(
    `import { thumbnails } from './map/thumbnails.ts';
import { openDataset } from '@moco-ts/data';
const dataset = await openDataset(${JSON.stringify(folder)});
const { urls } = await thumbnails(dataset, Array.from({ length: 60 }, (_, i) => i % 3), 64);
answer(urls.length);`,
    '',
    fileURLToPath(new URL('../', import.meta.url)),
  );
  expect(answer).toBe(1);
  // The program alone has some 150; a photo as bytes 34, and as much again on its way.
  expect(peak).toBeLessThan(350);
});
