/**
 * Writes `fixtures/NAME` by the version at hand, and what it comes to by these files itself (`expected.json`):
 * TSX_TSCONFIG_PATH=packages/cli/tsconfig.sources.json node --import tsx tests/compat/make.ts NAME
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { rng } from '../../packages/core/src/index.ts';
import { encodePng } from '../../packages/data/src/index.ts';
import { ablation, cases, classifierLine, classifiers, done, interrupted } from './cases.ts';
import { moco } from './commands.ts';
import { registerSmallEncoders } from './encoders.ts';

const name = process.argv[2];
if (!name) throw new Error('give the name of the fixtures, as that of the version');
const folder = resolve(import.meta.dirname, 'fixtures', name);
const work = mkdtempSync(join(tmpdir(), 'moco-compat-'));

/** Digits of an idx set: grey, 12 x 12, the class as a bright band. */
function writeDigits(split: string, count: number): void {
  const side = 12;
  const random = rng(7, 'compat/digits', split.length);
  const values = new Uint8Array(count * side * side).map((_, at) => {
    const [image, row] = [Math.floor(at / (side * side)), Math.floor(at / side) % side];
    return random.integer(100) + (Math.floor(row / 3) === image % 4 ? 155 : 0);
  });
  const header = (...numbers: number[]) => {
    const bytes = Buffer.alloc(4 * numbers.length);
    for (const [i, number] of numbers.entries()) bytes.writeUInt32BE(number, 4 * i);
    return bytes;
  };
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 4);
  const path = (kind: string) => join('digits', `${split}-${kind}-ubyte`);
  writeFileSync(path('images-idx3'), Buffer.concat([header(0x803, count, side, side), values]));
  writeFileSync(path('labels-idx1'), Buffer.concat([header(0x801, count), labels]));
}

async function writePhotos(): Promise<void> {
  for (const [kind, shift] of [
    ['cat', 0],
    ['dog', 120],
  ] as const) {
    mkdirSync(join('photos', kind), { recursive: true });
    for (let i = 0; i < 9; i++) {
      const random = rng(7, `compat/${kind}`, i);
      const color = Array.from({ length: 3 }, () => shift + random.integer(100));
      const data = new Uint8Array(16 * 16 * 3).map((_, at) => color[at % 3]! + 8 * random.integer(5));
      writeFileSync(join('photos', kind, `${i}.png`), await encodePng({ width: 16, height: 16, data }));
    }
  }
  // It is left out, and listed in skipped.jsonl.
  writeFileSync(join('photos', 'dog', 'bad.png'), 'no image');
}

/** Interrupts a command after its first step or batch. */
async function interrupt(...args: string[]): Promise<void> {
  const timer = setInterval(() => {
    if (process.listenerCount('SIGINT') > 0) process.emit('SIGINT');
  }, 0);
  const { code, out, err } = await moco(...args).finally(() => clearInterval(timer));
  if (code !== 130) throw new Error(`moco ${args.join(' ')} was not interrupted\n${out}${err}`);
}

const small = ['-a', 'resnet-compat', '--image-size', '16', '-b', '8', '--moco-dim', '8', '--seed', '1'];
const quick = [...small, '-j', '0', '--threads', '1', '-p', '1', '--keep', '1', '--epochs', '2'];
const reference = ['--backend', 'reference'];
const queue = ['--moco-k', '16', '--bn-splits', '2'];

async function pretrain(method: string, data: string, steps: number, ...args: string[]): Promise<void> {
  const out = `trained/${data === 'emoji' ? data : method}`;
  await done(
    'pretrain',
    data,
    '--method',
    method,
    ...quick,
    '--out',
    out,
    '--max-steps',
    String(steps),
    ...args,
  );
}

async function writeAll(): Promise<void> {
  mkdirSync('digits');
  writeDigits('train', 72);
  writeDigits('t10k', 16);
  await writePhotos();
  // Each ends in mid-epoch.
  await pretrain('moco-v1', 'photos', 3, ...queue, ...reference, '--knn-every', '1', '--lr', '0.003');
  await pretrain('moco-v2', 'digits', 12, ...queue);
  const vit = ['-a', 'vit_compat', '--patch-size', '8', '--moco-mlp-dim', '16', '--warmup-epochs', '1'];
  await pretrain('moco-v3', 'digits', 12, ...reference, ...vit);
  await pretrain('simclr', 'digits', 12, ...reference);
  await pretrain('instdisc', 'digits', 12, ...reference, '--moco-k', '32');
  const emoji = ['--moco-k', '64', '-b', '64', '--bn-splits', '2', '--knn-every', '1', '-p', '20'];
  await pretrain('moco-v2', 'emoji', 1000, ...emoji, '--epochs', '1');
  for (const { command, folder } of classifiers)
    await done(...classifierLine(command, folder), '--epochs', '2');
  for (const output of ['vectors.npy', 'vectors.parquet'])
    await done('embed', 'trained/moco-v2', 'digits', '--out', output, '-j', '0');
  // What the index remembers of its file, which a checkout must be able to give back.
  utimesSync('vectors.npy', MODIFIED, MODIFIED);
  await done('search', 'vectors.npy', 'train/0', '--index');
  await interrupt(...interrupted);
  for (const output of ['encoder.safetensors', 'encoder.pth'])
    await done('convert', 'trained/moco-v2', '-o', output, '--with-head');
  await done('export', 'trained/moco-v2', '-o', 'model.onnx', '--with-preprocess');
  await done(...ablation('ablation'));
  for (const cell of ['bn-moco-shuffle-seed-0', 'k-memory-bank-64-seed-0', 'k-end-to-end-30-seed-0'])
    rmSync(join('ablation', 'cells', `${cell}.json`));
  await done(...ablation('ablation-emoji'));
}

/** Seconds since 1970. */
const MODIFIED = 1_700_000_000;

/** Takes away what is of this machine, and what nothing reads. */
function neutralise(): void {
  const names = readdirSync('.', { recursive: true, encoding: 'utf8' });
  for (const path of names) {
    if (/events\.out|\.(html|svg|lock|md)$/.test(path)) rmSync(path);
    if (!path.endsWith('/config.json')) continue;
    const record = JSON.parse(readFileSync(path, 'utf8'));
    const machine = { processor: 'a processor', cores: 2, memoryGiB: 8, system: 'linux x64' };
    writeFileSync(path, `${JSON.stringify({ ...record, machine }, null, 2)}\n`);
  }
}

async function expected(): Promise<Record<string, unknown>> {
  const results: Record<string, unknown> = {};
  for (const { name, run } of cases) {
    const copy = join(work, 'copy');
    rmSync(copy, { recursive: true, force: true });
    cpSync(folder, copy, { recursive: true, preserveTimestamps: true });
    process.chdir(copy);
    results[name] = await run();
    console.log(name);
  }
  process.chdir(folder);
  return results;
}

registerSmallEncoders();
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
process.chdir(folder);
try {
  await writeAll();
  neutralise();
  writeFileSync('expected.json', `${JSON.stringify(await expected())}\n`);
} finally {
  process.chdir('/');
  rmSync(work, { recursive: true, force: true });
}
