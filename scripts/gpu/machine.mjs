// What a bare machine has: its card, its Python with PyTorch and XLA's plugin, and where libraries lie.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { basename, delimiter, join } from 'node:path';

const ask = (command, ...args) => {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      timeout: 60_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
};

const PACKAGES = ['torch', 'timm', 'torchvision', 'jax', 'jaxlib', 'jax-cuda13-pjrt', 'nvidia-cudnn-cu13'];

/** Nothing is imported, which for PyTorch takes seconds. */
const PYTHON = `
import importlib.metadata as m, json, sys, sysconfig
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
print(json.dumps({'version': sys.version.split()[0], 'prefix': sys.prefix, 'site': sysconfig.get_paths()['purelib'],
    'packages': {name: version(name) for name in ${JSON.stringify(PACKAGES)} if version(name)}}))`;

/** @param python the interpreter that has PyTorch */
export function describeMachine(python) {
  const answer = ask(python, '-c', PYTHON);
  return {
    date: new Date().toISOString().slice(0, 10),
    card: ask('nvidia-smi', '--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'),
    processor: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    python: answer && JSON.parse(answer),
  };
}

/** Where NVIDIA's container runtime puts the driver's parts. */
const DRIVER = '/usr/local/nvidia';
const ICD_FOLDERS = ['/etc/vulkan/icd.d', '/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d'];

/**
 * The environment of the pack's programs: XLA's plugin and CUDA's libraries as Python has them, Vulkan's loader as the pack has it.
 * @param here the pack's folder
 */
export function environment(here, { python }) {
  const site = python?.site ?? '';
  const nvidia = join(site, 'nvidia');
  const cuda = entries(nvidia);
  const installed = entries('/usr/local').filter((folder) => basename(folder).startsWith('cuda'));
  const libraries = [...cuda.map((folder) => join(folder, 'lib')), join(DRIVER, 'lib64'), join(here, 'lib')];
  const data = [...cuda, ...installed].find((folder) =>
    existsSync(join(folder, 'nvvm', 'libdevice', 'libdevice.10.bc')),
  );
  return {
    ...(python && { VIRTUAL_ENV: python.prefix }),
    LD_LIBRARY_PATH: [...libraries.filter(existsSync), process.env.LD_LIBRARY_PATH]
      .filter(Boolean)
      .join(delimiter),
    ...(data && {
      XLA_FLAGS: `--xla_gpu_cuda_data_dir=${data}`,
      PATH: [process.env.PATH, join(data, 'bin')].join(delimiter),
    }),
    TF_CPP_MIN_LOG_LEVEL: '1',
    ...vulkan(),
  };
}

function entries(folder) {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

function vulkan() {
  const icd = join(DRIVER, 'share', 'vulkan', 'icd.d', 'nvidia_icd.json');
  const known = ICD_FOLDERS.flatMap(entries).some((file) => /nvidia/.test(basename(file)));
  if (process.env.VK_DRIVER_FILES || known || !existsSync(icd)) return {};
  const vendor = join(DRIVER, 'share', 'glvnd', 'egl_vendor.d', '10_nvidia.json');
  return { VK_DRIVER_FILES: icd, __EGL_VENDOR_LIBRARY_FILENAMES: vendor };
}
