// What feeds a GPU: images a second that threads decode and make two views of, by the number of threads. JPEGs of 500 x 375 made of
// the pack's images, as photographs are, and the images themselves.
//
//   node loader.mjs [--batch 256] [--size 224] [--seconds 4] [--out FILE.json] [--images FOLDER]
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { createLoader, openDataset, views } from '../../packages/data/dist/index.js';

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '256' },
    size: { type: 'string', default: '224' },
    seconds: { type: 'string', default: '4' },
    out: { type: 'string' },
    images: { type: 'string', default: join(import.meta.dirname, '..', 'images') },
  },
});
const [batch, size, seconds] = [values.batch, values.size, values.seconds].map(Number);
const work = mkdtempSync(join(tmpdir(), 'moco-loader-'));
/** JPEGs that are made: two batches of other images than the one before. */
const PHOTOS = 3 * batch;
const rates = [];
try {
  const emoji = await openDataset(values.images, { split: 'train' });
  const sets = { photos: await openDataset(await photos(emoji), { split: 'train' }), emoji };
  for (const [set, dataset] of Object.entries(sets))
    for (const workers of threads()) {
      const imagesPerSecond = await measure(dataset, workers);
      rates.push({ set, workers, imagesPerSecond });
      console.log(`${set}, ${workers} workers: ${imagesPerSecond.toFixed(0)} images/s`);
      if (values.out) writeFileSync(values.out, `${JSON.stringify({ rates })}\n`);
    }
} finally {
  rmSync(work, { recursive: true });
}

/** 1, 2, 4, ..., and one for each core but one. */
function threads() {
  const most = Math.max(1, availableParallelism() - 1);
  const counts = [];
  for (let count = 1; count < most; count *= 2) counts.push(count);
  return [...counts, most];
}

async function photos(dataset) {
  const folder = join(work, 'photos');
  mkdirSync(folder);
  await Promise.all(
    Array.from({ length: PHOTOS }, async (_, i) => {
      const { width, height, data } = await dataset.decode(i % dataset.length);
      const large = sharp(data, { raw: { width, height, channels: 3 } }).resize(500, 375, { fit: 'cover' });
      await large.jpeg({ quality: 90 }).toFile(join(folder, `${i}.jpg`));
    }),
  );
  return folder;
}

async function measure(dataset, workers) {
  const loader = createLoader(dataset, { batch, size, views: views['aug-plus']({ size }), seed: 0, workers });
  const wanted = seconds * 1000;
  let made = 0;
  let began = 0;
  try {
    for (let epoch = 0; ; epoch++)
      for await (const { indices } of loader.epoch(epoch)) {
        // The first batch waits for the threads to start.
        if (began === 0) began = performance.now();
        else made += indices.length;
        const passed = performance.now() - began;
        if (made > 0 && passed > wanted) return (made / passed) * 1000;
      }
  } finally {
    await loader.close();
  }
}
