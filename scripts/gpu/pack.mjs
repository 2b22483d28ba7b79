// Packs what a bare Linux machine with a GPU lacks: Node, the command with the kit and the programmes beside it as bundles, their native
// parts (koffi, sharp, Dawn), PyTorch's peers, Vulkan's loader and 2,000 emoji. Build first.
//
//   node scripts/gpu/pack.mjs FOLDER        makes FOLDER/moco-gpu.tar.xz, and FOLDER/run.sh, which runs it there
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { build } from 'esbuild';

const [out] = process.argv.slice(2);
if (!out || process.platform !== 'linux' || process.arch !== 'x64') {
  console.error('node scripts/gpu/pack.mjs FOLDER, on Linux x64');
  process.exit(2);
}
/** What may be carried to such a machine. */
const MOST = 60 * 2 ** 20;
const IMAGES = 2000;
const root = join(import.meta.dirname, '..', '..');
const place = mkdtempSync(join(tmpdir(), 'moco-gpu-'));
const folder = join(place, 'moco-gpu');
const run = (command, ...args) =>
  execFileSync(command, args, { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });

try {
  mkdirSync(folder);
  const { version } = JSON.parse(readFileSync(join(root, 'packages', 'moco', 'package.json'), 'utf8'));
  // Beside the bundles, as a package has it: the command's version is read from it.
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'moco-gpu', version, type: 'module' }));
  await bundle();
  copyPackage('koffi', 'backend-xla');
  copyPackage('sharp', 'data');
  copyPackage('fs-native-extensions', 'node');
  dawn();
  copy(['benchmarks/step/pytorch_gpu_step.py', 'parity/moco_torch.py', 'scripts/gpu/jax_step.py'], 'python');
  libraries();
  images();
  cpSync(process.execPath, join(folder, 'node'));
  strip(join(folder, 'node'));
  mkdirSync(out, { recursive: true });
  const archive = join(out, 'moco-gpu.tar.xz');
  execFileSync('tar', ['-C', place, '-cJf', resolve(archive), 'moco-gpu'], {
    env: { ...process.env, XZ_OPT: '-T0 -1' },
  });
  cpSync(join(root, 'scripts', 'gpu', 'run.sh'), join(out, 'run.sh'));
  const { size } = statSync(archive);
  console.log(`${archive}: ${(size / 2 ** 20).toFixed(1)} MiB`);
  if (size > MOST) throw new Error(`more than ${MOST / 2 ** 20} MiB`);
} finally {
  rmSync(place, { recursive: true });
}

/** One folder of bundles that share their parts. Threads of the command find their entries there as they do in its packages. */
function bundle() {
  const programmes = ['programme', 'kit', 'step', 'train', 'loader'].map((name) => [
    name,
    `scripts/gpu/${name}.mjs`,
  ]);
  return build({
    entryPoints: Object.fromEntries(
      [
        ...programmes,
        ['moco', 'packages/cli/dist/bin.js'],
        ['worker', 'packages/data/dist/loader/worker.js'],
        ['probe-child', 'packages/node/dist/probe-child.js'],
      ].map(([name, file]) => [name, join(root, file)]),
    ),
    outdir: join(folder, 'app'),
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
    external: [
      ...['koffi', 'sharp', 'fs-native-extensions', 'webgpu', 'onnxruntime-node', 'usearch'],
      ...['@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'],
    ],
    alias: { vitest: join(root, 'scripts', 'gpu', 'suites.mjs') },
    // Packages of the old kind ask for Node's modules by require.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
  });
}

/** A package with what it needs on this system, as Node finds it from one of ours. */
function copyPackage(name, user) {
  const copied = new Set();
  const visit = (wanted, from, optional) => {
    if (copied.has(wanted)) return;
    const source = packageFolder(wanted, from);
    if (!source) {
      if (optional) return;
      throw new Error(`${from} has no package ${wanted}`);
    }
    copied.add(wanted);
    cpSync(source, join(folder, 'node_modules', wanted), {
      recursive: true,
      dereference: true,
      filter: isNeeded,
    });
    const { dependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(source, 'package.json'), 'utf8'),
    );
    for (const each of Object.keys(dependencies ?? {})) visit(each, source, false);
    for (const each of Object.keys(optionalDependencies ?? {})) visit(each, source, true);
  };
  visit(name, join(root, 'packages', user), false);
}

/** By folders, since not every package shows its manifest. */
function packageFolder(name, from) {
  const paths = createRequire(join(realpathSync(from), 'package.json')).resolve.paths(name) ?? [];
  const folder = paths.map((path) => join(path, name)).find((path) => existsSync(join(path, 'package.json')));
  return folder && realpathSync(folder);
}

/** Neither binaries of other systems nor what a compiler would need. */
function isNeeded(path) {
  const name = basename(path);
  if (basename(dirname(path)) === 'prebuilds') return name === 'linux-x64';
  return !/\.(map|d\.ts|md|cc|cpp|hh|h|c|S)$/.test(name) && name !== 'node_modules';
}

/** npm's `webgpu` without the binaries of other systems. */
function dawn() {
  run('npm', 'install', '--silent', '--ignore-scripts', '--prefix', join(place, 'npm'), 'webgpu@0.6.2');
  const [from, to] = [join(place, 'npm', 'node_modules', 'webgpu'), join(folder, 'node_modules', 'webgpu')];
  mkdirSync(join(to, 'dist'), { recursive: true });
  for (const name of readdirSync(from).filter((name) => name !== 'dist' && name !== 'build'))
    cpSync(join(from, name), join(to, name), { recursive: true });
  cpSync(join(from, 'dist', 'linux-x64'), join(to, 'dist', 'linux-x64'), { recursive: true });
  strip(join(to, 'dist', 'linux-x64', 'dawn.node'));
}

function strip(file) {
  try {
    run('strip', file);
  } catch {
    console.error(`strip failed for ${basename(file)}: the pack is larger, and works`);
  }
}

function copy(files, name) {
  mkdirSync(join(folder, name));
  for (const file of files) cpSync(join(root, file), join(folder, name, basename(file)));
}

/** Vulkan's loader, and GLVND's parts, which NVIDIA's Vulkan driver loads: this machine's. */
function libraries() {
  const known = run('/sbin/ldconfig', '-p').split('\n');
  mkdirSync(join(folder, 'lib'));
  for (const name of ['libvulkan.so.1', 'libEGL.so.1', 'libGL.so.1', 'libGLX.so.0', 'libGLdispatch.so.0']) {
    const path = known.find((line) => line.includes(`${name} (libc6,x86-64)`))?.split(' => ')[1];
    if (path) cpSync(realpathSync(path), join(folder, 'lib', name));
    else
      console.error(
        `no ${name} here: WebGPU needs that of the other machine (Debian: libvulkan1, libgl1, libegl1)`,
      );
  }
}

function images() {
  const from = join(
    packageFolder('emoji-datasource-google', join(root, 'packages', 'data')),
    'img',
    'google',
    '64',
  );
  mkdirSync(join(folder, 'images'));
  for (const name of readdirSync(from).sort().slice(0, IMAGES))
    cpSync(join(from, name), join(folder, 'images', name));
}
