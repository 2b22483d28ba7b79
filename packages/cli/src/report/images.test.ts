import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openDataset } from '@moco-ts/data';
import { resolveConfig } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { imageFolder } from '../testing.ts';
import { viewGrid } from './images.ts';

it('shows the views of those that are readable, where few are', async () => {
  const folder = imageFolder(3);
  for (let i = 0; i < 4; i++) writeFileSync(join(folder, `damaged${i}.png`), 'x');
  const dataset = await openDataset(folder);
  const config = resolveConfig({ data: folder, method: 'moco-v2', imageSize: 16 }, dataset, 0);
  const page = await viewGrid(config, dataset);
  // One row of names, and one for each image.
  expect(page.match(/<tr>/g)).toHaveLength(1 + 3);
});
