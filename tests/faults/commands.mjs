// Every command that writes, killed at each rename, at each fsync and at random moments, then repeated as a user would: it ends
// with what it would have written undisturbed, and at no moment is there a file by its name that is not whole.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rng } from '../../packages/core/dist/index.js';
import { encodePng } from '../../packages/data/dist/index.js';
import { finish, flags, images, sleep, start } from './lib.mjs';

export const name = 'killed commands (SIGKILL)';

const preload = pathToFileURL(join(import.meta.dirname, 'preload.mjs')).href;
/** Of the points of a command, in the quick form: which ones is the seed's choice. */
const QUICK_POINTS = 2;

export async function run({ work, quick, seed }) {
  const random = rng(seed, 'faults/commands');
  const failures = [];
  let [tried, survived] = [0, 0];
  const given = await prepare(join(work, 'commands'));
  for (const command of commands(given)) {
    const undisturbed = join(given.work, `${command.name}-whole`);
    const counted = join(given.work, `${command.name}.points`);
    const kinds = quick ? 'rename' : 'rename,sync';
    const began = performance.now();
    const first = await attempt(command, undisturbed, { MOCO_FAULT_COUNT: counted, MOCO_FAULT_KINDS: kinds });
    const took = performance.now() - began;
    if (first.code !== 0) throw new Error(`${command.name} failed undisturbed: ${first.err}`);
    const expected = command.outcome(undisturbed, first);
    const points = Array.from({ length: Number(readFileSync(counted, 'utf8')) }, (_, i) => i + 1);
    const kills = [
      ...(quick ? some(points, QUICK_POINTS, random) : points).map((at) => ({ what: `point ${at}`, at })),
      ...Array.from({ length: quick ? 1 : 5 }, () => {
        const ms = Math.round((0.1 + 0.9 * random.uniform()) * took);
        return { what: `${ms} ms`, ms };
      }),
    ];
    for (const { what, at, ms } of kills) {
      const folder = join(given.work, `${command.name}-${tried}`);
      tried++;
      const env = at === undefined ? {} : { MOCO_FAULT_AT: String(at), MOCO_FAULT_KINDS: kinds };
      const { signal } = await attempt(command, folder, env, ms);
      const why =
        at !== undefined && signal !== 'SIGKILL'
          ? 'it was not killed'
          : (halves(folder, undisturbed, command) ??
            (await afterwards(command, folder, expected, undisturbed)));
      if (why === undefined) survived++;
      else failures.push(`${command.name}, killed at ${what}: ${why}`);
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return {
    tried,
    survived,
    lost: '',
    failures,
    detail: `${commands(given).length} commands, each at ${quick ? 'some of its renames' : 'each rename and fsync'} and at random moments; repeated, the same files to the byte`,
  };
}

/** A small run, an encoder of others, and a file of vectors. */
async function prepare(work) {
  mkdirSync(work, { recursive: true });
  const data = images(join(work, 'data'), 64);
  const labels = join(data, 'train-labels-idx1-ubyte');
  const bytes = readFileSync(labels);
  for (let i = 8; i < bytes.length; i++) bytes[i] = i % 2;
  writeFileSync(labels, bytes);
  for (const kind of ['images-idx3', 'labels-idx1'])
    writeFileSync(join(data, `t10k-${kind}-ubyte`), readFileSync(join(data, `train-${kind}-ubyte`)));
  const at = (name) => join(work, name);
  const photos = at('photos');
  mkdirSync(photos);
  for (let i = 0; i < 6; i++) {
    const pixels = Uint8Array.from({ length: 3 * 32 * 32 }, (_, k) => (k * (i + 3)) % 251);
    writeFileSync(join(photos, `${i}.png`), await encodePng({ width: 32, height: 32, data: pixels }));
  }
  const given = {
    work,
    data,
    photos,
    run: at('run'),
    encoder: at('encoder.pth'),
    vectors: at('vectors.npy'),
  };
  for (const args of [
    flags(data, given.run, ['--epochs', '1']),
    ['convert', given.run, '-o', given.encoder],
    ['embed', given.run, data, '--out', given.vectors],
  ]) {
    const { code, err } = await finish(args);
    if (code !== 0) throw new Error(`${args[0]}: ${err}`);
  }
  return given;
}

function commands({ data, photos, run, encoder, vectors }) {
  const { ids: all } = JSON.parse(readFileSync(vectors.replace('.npy', '.ids.json'), 'utf8'));
  const ids = [all[0], all[7]];
  const small = ['-b', '8', '-j', '0', '--threads', '1', '--epochs', '3'];
  const file = (name, make) => ({
    name,
    args: (folder) => make(folder),
    outcome: (folder) => contents(folder),
  });
  const classifier = (name) => ({
    name,
    args: (folder, again) => [
      ...[name, run, data, ...small, '--out', join(folder, 'probe')],
      ...(again && existsSync(join(folder, 'probe', 'latest.safetensors')) ? ['--resume'] : []),
    ],
    outcome: (folder, { out }) => ({
      ...contents(folder, /\.safetensors/),
      said: out.trim().split('\n').at(-1).replaceAll(folder, ''),
    }),
  });
  const recipe =
    '-a resnet-tiny --image-size 16 -b 8 --bn-splits 2 --moco-k 16 --moco-dim 8 -j 0 --threads 1 --lr 0.01';
  return [
    file('embed', (folder) => ['embed', run, data, '--out', join(folder, 'v.parquet')]),
    file('embed-npy', (folder) => ['embed', run, data, '--out', join(folder, 'v.npy')]),
    classifier('lincls'),
    classifier('finetune'),
    {
      name: 'ablate',
      args: (folder) => [
        ...['ablate', data, ...recipe.split(' '), '--epochs', '1', '--sweeps', 'bn', '--seeds', '1'],
        ...['--out', join(folder, 'a')],
      ],
      // All but how long it took.
      outcome: (folder) => contents(folder, /\.(json|svg)/, (text) => text.replace(/"seconds": .*/g, '')),
    },
    file('export', (folder) => ['export', run, '-o', join(folder, 'm.onnx')]),
    file('export-web', (folder) => ['export', run, '-o', join(folder, 'web'), '--transformers-js']),
    file('import', (folder) => ['import', encoder, '-o', join(folder, 'c.safetensors')]),
    file('convert', (folder) => ['convert', run, '-o', join(folder, 'c.pth')]),
    file('map', (folder) => ['map', vectors, '--out', join(folder, 'map.html')]),
    file('shrink', (folder) => ['shrink', photos, '--size', '16', '-j', '1', '--out', join(folder, 'small')]),
    file('report', (folder) => ['report', run, '-o', join(folder, 'r.html')]),
    {
      name: 'index',
      // Who finds an index whole writes nothing, and takes no lock.
      mayLeave: /\.lock$/,
      begin: (folder) => {
        for (const end of ['.npy', '.ids.json'])
          writeFileSync(join(folder, `v${end}`), readFileSync(vectors.replace('.npy', end)));
      },
      args: (folder) => ['search', join(folder, 'v.npy'), ...ids, '--json', '--index'],
      outcome: (folder, { out }) => ({ ...contents(folder, /usearch$/), said: out }),
    },
  ];
}

/** Runs a command once. @param ms when it is killed, if no point does */
async function attempt(command, folder, env, ms, again = false) {
  if (!again) {
    mkdirSync(folder, { recursive: true });
    command.begin?.(folder);
  }
  const imports = { NODE_OPTIONS: `--import ${preload}` };
  const { child, ended } = start(command.args(folder, again), {
    env: { ...process.env, ...imports, ...env },
  });
  if (ms !== undefined) void sleep(ms).then(() => child.kill('SIGKILL'));
  return ended;
}

/** A file by its last name is whole from the first moment on. */
function halves(folder, undisturbed, { name }) {
  // What goes on grows: of an ablation and a classifier each version is whole, which reading them again shows.
  if (['ablate', 'lincls', 'finetune', 'index'].includes(name)) return undefined;
  for (const file of filesOf(folder))
    if (!/\.(partial|lock)(\/|$)/.test(file) && !same(join(folder, file), join(undisturbed, file)))
      return `${file} is not whole`;
  return undefined;
}

async function afterwards(command, folder, expected, undisturbed) {
  const ended = await attempt(command, folder, {}, undefined, true);
  if (ended.code !== 0) return `the second time: ${ended.err.trim().split('\n').at(-1)}`;
  const actual = command.outcome(folder, ended);
  const other = Object.keys({ ...expected, ...actual }).find((key) => expected[key] !== actual[key]);
  if (other !== undefined) return `${other} is another: ${String(actual[other]).slice(0, 200)}`;
  const left = filesOf(folder).filter(
    (file) => /\.(partial|lock)(\/|$)/.test(file) && !command.mayLeave?.test(file),
  );
  if (left.length > 0) return `left behind: ${left.join(', ')}`;
  const missing = filesOf(undisturbed).filter(
    (file) => !/tfevents/.test(file) && !existsSync(join(folder, file)),
  );
  return missing.length > 0 ? `missing: ${missing.join(', ')}` : undefined;
}

/** Files by their paths below a folder. */
function filesOf(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
}

function contents(folder, wanted = /./, tidy = (text) => text) {
  return Object.fromEntries(
    filesOf(folder)
      .filter((file) => wanted.test(file) && !/\.(partial|lock)/.test(file))
      .map((file) => [file, tidy(readFileSync(join(folder, file), 'latin1')).replaceAll(folder, '')]),
  );
}

const same = (a, b) =>
  existsSync(b) && statSync(a).size === statSync(b).size && readFileSync(a).equals(readFileSync(b));

function some(points, count, random) {
  const left = [...points];
  while (left.length > count) left.splice(random.integer(left.length), 1);
  return left;
}
