// Runs every command, and the library, under strace: none may open a socket, write outside the folder of its results, or start
// a program but Node. `node privacy-check.mjs NAME...` runs the checks whose names begin so.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { encodePng } from '../packages/data/dist/index.js';
import { calls, violations } from './privacy/trace.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const moco = join(root, 'packages', 'cli', 'dist', 'bin.js');
const place = mkdtempSync(join(tmpdir(), 'moco-privacy-'));
process.on('exit', () => rmSync(place, { recursive: true, force: true }));
// Where commands run and read: nothing is written here.
const work = join(place, 'work');
// The one place for results.
const out = join(place, 'out');
for (const folder of [work, out]) mkdirSync(folder);

/** What a package of the working folder does when it is loaded: what no check passes. */
const trap = "require('fs').writeFileSync(require('path').join(__dirname, 'loaded'), '');";
for (const name of ['usearch', 'webgpu', '@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu']) {
  const folder = join(work, 'node_modules', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'index.js'), trap);
}
mkdirSync(join(work, '.git'));
writeFileSync(join(work, '.git', 'HEAD'), `${'a'.repeat(40)}\n`);
writeFileSync(join(work, '.git', 'config'), `[core]\n\tfsmonitor = touch ${join(work, 'ran')}\n`);

for (const [split, count] of Object.entries({ train: 16, val: 6 }))
  for (const [c, name] of ['a', 'b'].entries()) {
    const folder = join(work, 'images', split, name);
    mkdirSync(folder, { recursive: true });
    for (let i = 0; i < count; i++) {
      const data = Uint8Array.from({ length: 32 * 32 * 3 }, (_, at) => (at * (i + 7) * (c + 1)) % 251);
      writeFileSync(join(folder, `${i}.png`), await encodePng({ width: 32, height: 32, data }));
    }
  }

const small = '-a resnet-micro --image-size 32 -b 8 --bn-splits 2 --moco-k 16 --moco-dim 16'.split(' ');
const train = [...small, '--method', 'moco-v2', '--epochs', '1', '-j', '1'];
const at = (name) => join(out, name);
const classifier = ['images', '--epochs', '1', '-b', '8', '-j', '1'];

/** Those of a row run at once; a row runs when the one before is done. */
const rows = [
  [
    ['pretrain', 'pretrain', 'images', ...train, '--measure-every', '1', '--out', at('run')],
    ['pretrain --isolate', 'pretrain', 'images', ...train, '--isolate', '--out', at('isolated')],
    ['pretrain on tfjs:wasm', 'pretrain', 'images', ...train, '--backend', 'tfjs:wasm', '--out', at('wasm')],
    [
      'pretrain on the backend that auto finds',
      'pretrain',
      'images',
      ...train,
      '--max-steps',
      '1',
      '--backend',
      'auto',
      '--out',
      at('auto'),
    ],
    [
      'ablate',
      'ablate',
      'images',
      ...small,
      '--epochs',
      '1',
      '--sweeps',
      'bn',
      '--seeds',
      '1',
      '-j',
      '1',
      '--out',
      at('ablation'),
    ],
    ['bench', 'bench', ...small, '--steps', '1', '--backends', 'ort,tfjs:cpu'],
    // What moco demo is, on emoji.
    ['train', 'train', 'images', ...small.slice(0, 4), '--epochs', '1', '-j', '1', '--out', at('train')],
    ['backends', 'backends'],
    ['presets', 'presets'],
    ['shrink', 'shrink', 'images', '--size', '16', '-j', '1', '--out', at('small')],
  ],
  [
    ['knn', 'knn', at('run'), 'images'],
    ['lincls', 'lincls', at('run'), ...classifier, '--out', at('lincls')],
    ['finetune', 'finetune', at('run'), ...classifier, '--out', at('finetune')],
    ['embed', 'embed', at('run'), 'images', '--out', at('v.parquet')],
    ['report', 'report', at('run'), '-o', at('report.html')],
    ['export', 'export', at('run'), '-o', at('m.onnx'), '--with-preprocess', '--measure'],
    [
      'export --precision int8',
      'export',
      at('run'),
      '-o',
      at('m8.onnx'),
      '--precision',
      'int8',
      '--calibrate',
      'images',
    ],
    ['export --transformers-js', 'export', at('run'), '-o', at('models/m'), '--transformers-js'],
    ['convert', 'convert', at('run'), '-o', at('m.pth')],
  ],
  [
    [
      'search --index',
      'search',
      at('v.parquet'),
      join('images', 'train', 'a', '0.png'),
      '--model',
      at('run'),
      '--index',
    ],
    ['dedupe', 'dedupe', at('v.parquet')],
    ['map', 'map', at('v.parquet'), '--data', 'images', '--out', at('map.html')],
    ['import', 'import', at('m.pth'), '-o', at('m.safetensors')],
    ['embed by a model', 'embed', at('m.onnx'), 'images', '--out', at('w.npy')],
  ],
].map((row) => row.map(([name, ...args]) => ({ name, args: [moco, ...args] })));

/** A program of a user's, kept among the results. */
function program(name, text) {
  const file = join(out, `${name}.mjs`);
  writeFileSync(file, text);
  return [file];
}
const library = `const { loadEncoder, pretrain } = await import('${pathToFileURL(join(root, 'packages/moco/dist/index.js')).href}');
const recipe = { method: 'moco-v2', arch: 'resnet-micro', imageSize: 32, batchSize: 8, bnSplits: 2, mocoK: 16, epochs: 1, workers: 1 };
const run = pretrain({ ...recipe, data: 'images', out: FOLDER });
const encoder = await loadEncoder((await run.result).checkpoint);
await encoder.embed(['images/train/a/0.png']);
await encoder.dispose();
`;
const inFolder = (name) => library.replace('FOLDER', JSON.stringify(at(name)));
rows[0].push(
  { name: 'library', args: program('library', inFolder('by-library')) },
  {
    name: 'library in a worker thread',
    args: program(
      'thread',
      `import { isMainThread, Worker } from 'node:worker_threads';
if (isMainThread) new Worker(new URL(import.meta.url), { env: {} });
else {\n${inFolder('in-a-thread')}}\n`,
    ),
  },
);
rows[1].push({
  // Telemetry, and whatever else keeps a file for itself, would complain.
  name: 'knn without a home folder prints no warning',
  args: [moco, 'knn', at('run'), 'images'],
  env: { HOME: '/proc/none', XDG_CACHE_HOME: '/proc/none' },
  silent: true,
});
rows[2].push({
  name: 'example onnx-service',
  args: program(
    'service',
    `const { createService } = await import('${pathToFileURL(join(root, 'examples/onnx-service/index.js')).href}');
const app = await createService(${JSON.stringify(at('m.onnx'))}, 'images/val/a');
const { readFileSync } = await import('node:fs');
const response = await app.request('/features', { method: 'POST', body: readFileSync('images/val/a/0.png') });
if (response.status !== 200) throw new Error(await response.text());
`,
  ),
});

/** What this must notice, else it proves nothing. */
const controls = [
  {
    name: 'notices a name that is looked up',
    args: program(
      'lookup',
      "import { lookup } from 'node:dns';\nlookup('collector.invalid', () => undefined);\n",
    ),
    breaches: /socket/,
  },
  {
    name: 'notices a file below the home folder, by a child',
    args: program(
      'writer',
      `import { execFileSync } from 'node:child_process';
execFileSync(process.execPath, ['-e', 'fs.mkdirSync(os.homedir() + "/.cache"); fs.writeFileSync(os.tmpdir() + "/x", "")']);\n`,
    ),
    breaches: /\.cache(.|\n)*tmp\/x/,
  },
  {
    name: 'notices a program',
    args: program(
      'starter',
      "import { execFileSync } from 'node:child_process';\nexecFileSync('/bin/true');\n",
    ),
    breaches: /started .*true/,
  },
];

/** Node under strace, with a home and a temporary folder of its own, and nothing that tells a program to be quiet in CI. */
function traced({ name, args, env: own, silent }, home) {
  const temporary = join(home, 'tmp');
  mkdirSync(temporary, { recursive: true });
  const trace = join(home, 'trace');
  const options = ['-f', '-y', '-qq', '--seccomp-bpf', '-s', '4096', '-e', 'signal=none', '-o', trace];
  // Through its ring no call would be seen.
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    TMPDIR: temporary,
    LANG: 'C.UTF-8',
    UV_USE_IO_URING: '0',
    ...own,
  };
  return new Promise((done) => {
    const child = spawn('strace', [...options, '-e', `trace=${calls}`, process.execPath, ...args], {
      cwd: work,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const streams = { out: '', err: '' };
    child.stdout.on('data', (chunk) => {
      streams.out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      streams.err += chunk;
    });
    child.on('close', (code) => {
      const text = existsSync(trace) ? readFileSync(trace, 'utf8') : '';
      const breaches = violations(text, { cwd: work, own: [out], trace, node: process.execPath });
      if (!text.includes('execve(')) breaches.push('strace traced nothing');
      // Beside what the calls tell: what is there.
      for (const each of readdirSync(home))
        if (!['tmp', 'trace'].includes(each)) breaches.push(`left ~/${each}`);
      for (const each of readdirSync(temporary)) breaches.push(`left ${join('tmp', each)}`);
      if (code !== 0)
        breaches.push(`ended with ${code}: ${(streams.err || streams.out).trim().slice(0, 500)}`);
      else if (silent && streams.err !== '') breaches.push(`printed ${streams.err.trim().slice(0, 500)}`);
      done({ name, breaches });
    });
  });
}

let [passed, failed] = [0, 0];
function tell(name, breaches) {
  if (breaches.length === 0) passed++;
  else failed++;
  console.log(`${breaches.length === 0 ? 'ok' : 'FAILED'} ${name}`);
  const worstFirst = [...new Set(breaches)].sort((a, b) => b.includes('socket') - a.includes('socket'));
  for (const each of worstFirst.slice(0, 8)) console.log(`   ${each}`);
}

let count = 0;
async function together(list, judge) {
  const waiting = [...list];
  const turn = async () => {
    for (let each = waiting.shift(); each; each = waiting.shift()) {
      const home = join(place, `home-${count++}`);
      mkdirSync(home);
      judge(each, (await traced(each, home)).breaches);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, turn));
}

const asked = process.argv.slice(2);
const wanted = ({ name }) => asked.length === 0 || asked.some((start) => name.startsWith(start));
await together(controls.filter(wanted), ({ name, breaches: expected }, breaches) =>
  tell(
    name,
    expected.test(breaches.join('\n')) ? [] : [`was not noticed: ${breaches.join('; ') || 'nothing'}`],
  ),
);
for (const row of rows) await together(row.filter(wanted), ({ name }, breaches) => tell(name, breaches));

tell(
  'loads and runs nothing of the working folder',
  readdirSync(work, { recursive: true })
    .filter((path) => /(^|[\\/])(loaded|ran)$/.test(path))
    .map((path) => `${resolve(work, path)} is there`),
);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
