/** Real drawings: the same thing by three designers is no near-duplicate, an edited copy is. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataset } from '@moco-ts/data';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { moco, temporaryFolder, tiny } from '../testing.ts';
import type { DuplicateGroup } from './duplicates.ts';

it('moco dedupe tells edited copies of emoji from other drawings of the same', async () => {
  const folder = temporaryFolder();
  const set = await openDataset('emoji', { split: 'test', designers: ['google', 'twitter', 'apple'] });
  // Every 20th drawing of each designer, and two copies of each.
  let drawings = 0;
  for (let i = 0; i < set.length; i += 20) {
    const { data, width, height } = await set.decode(i);
    const image = sharp(data, { raw: { width, height, channels: 3 } });
    const path = (end: string) => join(folder, `${set.id(i).replace('/', '-')}${end}`);
    writeFileSync(path('.png'), await image.clone().png().toBuffer());
    writeFileSync(path('~jpeg.jpg'), await image.clone().jpeg({ quality: 75 }).toBuffer());
    writeFileSync(path('~small.png'), await image.clone().resize(48, 48).png().toBuffer());
    drawings++;
  }
  const run = join(temporaryFolder(), 'run');
  // The later --image-size counts: at 16 pixels little is left of a drawing.
  const size = ['--image-size', '32', '-b', '64', '--moco-k', '256'];
  await moco('pretrain', 'emoji', '--out', run, ...tiny, ...size, '--epochs', '1', '--knn-every', '0');
  const { code, out } = await moco('dedupe', folder, '--model', run, '--threshold', '0.995', '--json');
  expect(code).toBe(0);
  const drawing = (id: string) => id.replace(/(~.*)?\.(png|jpg)$/, '');
  const { groups } = JSON.parse(out) as { groups: DuplicateGroup[] };
  const pairs = groups.flatMap(({ first, others }) => others.map(({ id }) => drawing(id) === drawing(first)));
  const right = pairs.filter((same) => same).length;
  // By an encoder of one epoch: most of the two copies of each, and hardly anything else.
  expect(right).toBeGreaterThan(drawings);
  expect(right / pairs.length).toBeGreaterThan(0.95);
});
