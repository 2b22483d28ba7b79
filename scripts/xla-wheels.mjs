// Writes packages/backend-xla/src/install/wheels.ts: the wheels of XLA's plugins, by hash. Run by hand when a version changes.
//
//   node scripts/xla-wheels.mjs INDEX      a package index that answers in JSON (PEP 691)
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const index = process.argv[2]?.replace(/\/+$/, '');
if (!index) throw new Error('name a package index');

const APACHE = 'Apache-2.0';
const NVIDIA = "NVIDIA's terms";

/** [package, version or its beginning, licence]. CUDA's parts are of one minor version, the oldest that the plugin takes: it serves the most drivers. */
const plugins = {
  cpu: [['lammps-jax-pjrt-cpu', '0.11.2', APACHE]],
  'cpu-older': [['fastatomstruct-xla-cpu', '2026.6.23', APACHE]],
  cuda: [
    ['jax-cuda13-pjrt', '0.11.2', APACHE],
    ['nvidia-cublas', '13.0.', NVIDIA],
    ['nvidia-cuda-cupti', '13.0.', NVIDIA],
    ['nvidia-cuda-nvcc', '13.0.', NVIDIA],
    ['nvidia-cuda-nvrtc', '13.0.', NVIDIA],
    ['nvidia-cuda-runtime', '13.0.', NVIDIA],
    ['nvidia-cudnn-cu13', '9.14.', NVIDIA],
    ['nvidia-cufft', '12.0.', NVIDIA],
    ['nvidia-cusolver', '12.0.', NVIDIA],
    ['nvidia-cusparse', '12.6.', NVIDIA],
    ['nvidia-nccl-cu13', '2.28.', NVIDIA],
    ['nvidia-nvjitlink', '13.0.', NVIDIA],
    ['nvidia-nvshmem-cu13', '3.4.', NVIDIA],
    ['nvidia-nvvm', '13.0.', NVIDIA],
  ],
};

async function pinned([name, version, licence]) {
  const answer = await fetch(`${index}/${name}/`, {
    headers: { accept: 'application/vnd.pypi.simple.v1+json' },
  });
  const { files } = await answer.json();
  const fit = files.filter(({ filename, yanked }) => {
    const [, of, tags] = /^[^-]+-([^-]+)-(.*)\.whl$/.exec(filename) ?? [];
    return (
      of &&
      !yanked &&
      /x86_64$/.test(tags) &&
      (of === version || of.startsWith(version)) &&
      /^[\d.]+$/.test(of)
    );
  });
  const numbers = (text) => text.split(/\D+/).map(Number);
  const versionOf = ({ filename }) => filename.split('-')[1];
  fit.sort((a, b) => {
    const [x, y] = [numbers(versionOf(a)), numbers(versionOf(b))];
    const at = x.findIndex((value, i) => value !== y[i]);
    return at < 0 ? 0 : x[at] - (y[at] ?? 0);
  });
  const last = fit.at(-1);
  if (!last) throw new Error(`${name} has no wheel for ${version} on x86_64`);
  return { package: name, file: last.filename, sha256: last.hashes.sha256, bytes: last.size, licence };
}

const lock = {};
for (const [device, wheels] of Object.entries(plugins)) lock[device] = await Promise.all(wheels.map(pinned));
const path = new URL('../packages/backend-xla/src/install/wheels.ts', import.meta.url);
const head = `/** XLA's plugins as wheels, by hash. Written by scripts/xla-wheels.mjs. */
import type { Wheel } from './wheel.ts';

export const wheels: Readonly<Record<string, readonly Wheel[]>> = `;
writeFileSync(path, `${head}${JSON.stringify(lock, null, 2)};\n`);
execFileSync('npx', ['biome', 'check', '--write', fileURLToPath(path)], { stdio: 'inherit' });
for (const [device, wheels] of Object.entries(lock))
  console.log(
    device,
    wheels.length,
    (wheels.reduce((total, { bytes }) => total + bytes, 0) / 2 ** 20).toFixed(0),
    'MiB',
  );
