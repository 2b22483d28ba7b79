// The same recipe on Fashion-MNIST in MoCo.ts and in PyTorch, then kNN on all 10,000 test images by each.
//
//   node benchmarks/fashion-mnist/run.mjs FOLDER [--python PATH] [-- FLAGS FOR BOTH]
//
// FOLDER holds the idx files, with or without .gz (Debian: dataset-fashion-mnist). Flags are those of `moco pretrain`.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const split = process.argv.indexOf('--');
const own = process.argv.slice(2, split < 0 ? undefined : split);
const shared = split < 0 ? [] : process.argv.slice(split + 1);
const { values, positionals } = parseArgs({
  args: own,
  options: { python: { type: 'string', default: 'python3' } },
  allowPositionals: true,
});
const [folder] = positionals;
if (!folder) {
  console.error('FOLDER is missing: the folder of the idx files');
  process.exit(2);
}
const usual =
  '--method moco-v2 -a resnet-tiny --image-size 32 --epochs 2 -b 256 --moco-k 4096 --moco-m 0.99 --lr 0.06';
const recipe = shared.length > 0 ? shared : usual.split(' ');

const run = join(mkdtempSync(join(tmpdir(), 'moco-fashion-')), 'run');
const moco = join(here, '..', '..', 'packages', 'cli', 'dist', 'bin.js');
const trained = spawnSync(process.execPath, [moco, 'pretrain', folder, ...recipe, '-p', '50', '--out', run], {
  stdio: 'inherit',
});
if (trained.status !== 0) process.exit(1);
execFileSync(process.execPath, [moco, 'knn', run, folder, '--baseline'], { stdio: 'inherit' });
const peer = execFileSync(values.python, [join(here, 'pytorch.py'), folder, ...recipe], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
const { knnBefore, knn, ...rest } = JSON.parse(peer.trim().split('\n').at(-1));
console.log(`PyTorch: kNN ${knn} % (untrained ${knnBefore} %)`);
console.log(JSON.stringify(rest));
