// Times two views of JPEGs in one thread of MoCo.ts; prints one JSON line. The twin of torchvision_views.py.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rng } from '../../packages/core/dist/index.js';
import { applyView, decodeFile, sampleView, views } from '../../packages/data/dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    views: { type: 'string' },
    size: { type: 'string', default: '224' },
    repeat: { type: 'string', default: '2' },
  },
});
const folder = positionals[0];
const size = Number(values.size);
const pair = views[values.views]({ size });
const target = { size, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const files = readdirSync(folder).filter((name) => name.endsWith('.jpg'));
const rates = [];
for (let round = 0; round <= Number(values.repeat); round++) {
  const before = performance.now();
  for (const [i, file] of files.entries()) {
    const image = await decodeFile(join(folder, file));
    for (const [side, config] of pair.entries())
      applyView(image, sampleView(config, rng(round, `view ${side}`, i), image.width, image.height), target);
  }
  // The first round warms caches up.
  if (round > 0) rates.push((files.length / (performance.now() - before)) * 1000);
}
const sorted = [...rates].sort((a, b) => a - b);
console.log(JSON.stringify({ imagesPerSecond: rates, median: sorted[sorted.length >> 1] }));
