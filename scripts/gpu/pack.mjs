// Packs what a bare Linux machine with a GPU needs to run the conformance kit and training steps on WebGPU, and their PyTorch peers:
// Node, Dawn (npm's `webgpu`), both programs as one file each. Build first.
//
//   node scripts/gpu/pack.mjs FILE.tar.xz [--debs FOLDER]
//
// There: tar xf FILE.tar.xz (or python3 -m tarfile -e FILE.tar.xz), then bash moco-gpu/run.sh FOLDER-FOR-RESULTS.
// --debs: Debian packages that the machine may lack, libvulkan1 above all; run.sh unpacks them into the folder.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { debs: { type: 'string' } } });
const [out] = positionals;
if (!out || process.platform !== 'linux' || process.arch !== 'x64') {
  console.error('node scripts/gpu/pack.mjs FILE.tar.xz [--debs FOLDER], on Linux x64');
  process.exit(2);
}
const root = join(import.meta.dirname, '..', '..');
const place = mkdtempSync(join(tmpdir(), 'moco-gpu-'));
const folder = join(place, 'moco-gpu');
const run = (command, ...args) =>
  execFileSync(command, args, { stdio: ['ignore', 'pipe', 'inherit'] }).toString();

try {
  mkdirSync(folder);
  await bundle('scripts/gpu/kit.mjs');
  await bundle('benchmarks/step/moco_step.mjs');
  for (const file of ['benchmarks/step/pytorch_gpu_step.py', 'parity/moco_torch.py', 'scripts/gpu/run.sh'])
    cpSync(join(root, file), join(folder, file.split('/').at(-1)));
  cpSync(process.execPath, join(folder, 'node'));
  await dawn();
  if (values.debs) cpSync(resolve(values.debs), join(folder, 'debs'), { recursive: true });
  // The oracle against itself: the kit's bundle runs, and nothing is missing in the folder.
  const output = run(
    join(folder, 'node'),
    join(folder, 'kit.mjs'),
    'reference',
    '--only',
    '> (add|conv2d) >',
  );
  console.log(`${output.trim().split('\n').at(-1)} (the oracle, a part of the kit)`);
  run('tar', '-C', place, '-cJf', resolve(out), 'moco-gpu');
  console.log(`${out}: ${(statSync(out).size / 1e6).toFixed(1)} MB`);
} finally {
  rmSync(place, { recursive: true });
}

async function bundle(entry) {
  await build({
    entryPoints: [join(root, entry)],
    outfile: join(folder, entry.split('/').at(-1)),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    external: ['onnxruntime-node', '@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu'],
    alias: { vitest: join(root, 'scripts', 'gpu', 'suites.mjs') },
    // tfjs's own files ask for Node's modules by require.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}

/** npm's `webgpu` without the binaries of other systems and without debug symbols. */
async function dawn() {
  run('npm', 'install', '--silent', '--ignore-scripts', '--prefix', join(place, 'npm'), 'webgpu@0.6.2');
  const [from, to] = [join(place, 'npm', 'node_modules', 'webgpu'), join(folder, 'node_modules', 'webgpu')];
  mkdirSync(join(to, 'dist'), { recursive: true });
  for (const name of readdirSync(from).filter((name) => name !== 'dist' && name !== 'build'))
    cpSync(join(from, name), join(to, name), { recursive: true });
  cpSync(join(from, 'dist', 'linux-x64'), join(to, 'dist', 'linux-x64'), { recursive: true });
  try {
    run('strip', join(to, 'dist', 'linux-x64', 'dawn.node'));
  } catch {
    console.error('strip failed: the pack is larger, and works');
  }
}
