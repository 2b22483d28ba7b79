// The share of training that waits for data: ResNet-50 at 96 px, batch 32, from JPEGs of about 500x375.
//
//   node benchmarks/views/wait.mjs [--images 512] [--python PATH]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pythonWithPeers } from '../lib/python.mjs';

const { values } = parseArgs({
  options: { images: { type: 'string', default: '512' }, python: { type: 'string', default: '' } },
});
const work = mkdtempSync(join(tmpdir(), 'moco-wait-'));
const images = join(work, 'images');
execFileSync(pythonWithPeers(values.python), [join(import.meta.dirname, 'images.py'), images, values.images]);
const flags = '--method moco-v2 -a resnet50 --image-size 96 -b 32 --moco-k 512 --epochs 2 --seed 0'.split(
  ' ',
);
const moco = join(import.meta.dirname, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
execFileSync(process.execPath, [moco, 'pretrain', images, ...flags, '--out', join(work, 'run')], {
  stdio: 'inherit',
});
const lines = readFileSync(join(work, 'run', 'log.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
// The first epoch's first step waits for the workers to start.
for (const { epoch, time, data } of lines.filter(({ event }) => event === 'epoch'))
  console.log(
    `epoch ${epoch}: ${time} s a step, ${data} s of it for data: ${((100 * data) / time).toFixed(1)} %`,
  );
rmSync(work, { recursive: true });
