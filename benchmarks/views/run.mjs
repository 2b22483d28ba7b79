// Decoding a JPEG of about 500x375 and making two views of 224 px from it, on one core: MoCo.ts, torchvision on Pillow's
// images, torchvision v2 on tensors. In turn, in one run.
//
//   node benchmarks/views/run.mjs [--rounds 3] [--images 96] [--python PATH] [--out FILE.json]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pythonWithPeers } from '../lib/python.mjs';
import { alternate, quantile, spread, table } from '../lib/rounds.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    images: { type: 'string', default: '96' },
    python: { type: 'string', default: '' },
    out: { type: 'string', default: '' },
  },
});
const here = import.meta.dirname;
const python = pythonWithPeers(values.python);
const folder = mkdtempSync(join(tmpdir(), 'moco-views-'));
execFileSync(python, [join(here, 'images.py'), folder, values.images], { stdio: 'inherit' });

/** On one core, where the system can say so. */
const pinned = process.platform === 'linux' ? ['taskset', '-c', '0'] : [];
const results = [];
for (const views of ['v1', 'aug-plus']) {
  console.error(views);
  const program = (name, interpreter, ...args) => {
    const [command, ...rest] = [...pinned, interpreter, ...args, folder, '--views', views];
    return { name, command, args: rest };
  };
  const peers = join(here, 'torchvision_views.py');
  const programs = [
    program('MoCo.ts', process.execPath, join(here, 'moco_views.mjs')),
    program('torchvision + Pillow', python, peers, '--peer', 'pillow'),
    program('torchvision v2, tensors', python, peers, '--peer', 'v2'),
  ];
  const lines = alternate(programs, Number(values.rounds));
  for (const [i, { name }] of programs.entries())
    results.push({ views, name, rates: lines[i].flatMap(({ imagesPerSecond }) => imagesPerSecond) });
}
rmSync(folder, { recursive: true });

for (const views of ['v1', 'aug-plus']) {
  const rows = results.filter((result) => result.views === views);
  const ours = quantile(rows[0].rates, 0.5);
  console.log(`\n${views}: images a second on one core, each decoded once and made into two views`);
  table([
    ['', 'median', 'quartiles', 'MoCo.ts is'],
    ...rows.map(({ name, rates }, i) => [
      name,
      quantile(rates, 0.5).toFixed(0),
      spread(rates, 0),
      i === 0 ? '' : `${(ours / quantile(rates, 0.5)).toFixed(2)}x`,
    ]),
  ]);
}
if (values.out) writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
