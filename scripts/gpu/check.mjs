// The GPU programme tried without a GPU: packs, unpacks where there is neither Node nor a network, runs every part in tiny form on
// xla:cpu and a Vulkan driver in software, and checks what was written. Build first, and install xla:cpu. A minute or two.
//
//   npm run test:gpu-pack [-- --python PATH]        PATH: a Python with PyTorch, torchvision, timm and JAX for the peers
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { partsOf } from './parts.mjs';

const { values } = parseArgs({
  options: { python: { type: 'string' }, keep: { type: 'boolean', default: false } },
});
const here = import.meta.dirname;
const place = mkdtempSync(join(tmpdir(), 'moco-gpu-check-'));
const [packed, bare, tools, results] = ['packed', 'bare', 'tools', 'results'].map((name) =>
  join(place, name),
);
/** SwiftShader, as Debian's chromium brings it. */
const SOFTWARE = '/usr/lib/chromium/vk_swiftshader_icd.json';
/** All that the machine has of programs. */
const TOOLS = ['bash', 'tar', 'xz', 'python3', 'mktemp', 'dirname', 'rm'];

try {
  execFileSync(process.execPath, [join(here, 'pack.mjs'), packed], { stdio: 'inherit' });
  for (const folder of [bare, tools]) mkdirSync(folder);
  for (const name of ['moco-gpu.tar.xz', 'run.sh']) cpSync(join(packed, name), join(bare, name));
  for (const name of TOOLS) {
    const path = execFileSync('which', [name], { encoding: 'utf8' }).trim();
    symlinkSync(path, join(tools, name));
  }
  runBare();
  const faults = check(JSON.parse(readFileSync(join(results, 'results.json'), 'utf8')));
  for (const fault of faults) console.error(fault);
  console.log(faults.length === 0 ? 'the GPU programme runs' : `${faults.length} faults`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  if (values.keep) console.log(place);
  else rmSync(place, { recursive: true });
}

function runBare() {
  const env = {
    PATH: tools,
    HOME: bare,
    XDG_CACHE_HOME: process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'),
    ...(existsSync(SOFTWARE) && { VK_DRIVER_FILES: SOFTWARE }),
  };
  const flags = [
    '--device',
    'cpu',
    '--tiny',
    '--seconds',
    '900',
    ...(values.python ? ['--python', values.python] : []),
  ];
  const command = [join(tools, 'bash'), join(bare, 'run.sh'), results, ...flags];
  const alone = ['/usr/bin/unshare', '--map-root-user', '--net'];
  const offline = spawnSync(alone[0], [...alone.slice(1), 'true']).status === 0;
  if (!offline) console.error('unshare refuses here: with a network');
  const [program, ...args] = [...(offline ? alone : []), ...command];
  const { status, error } = spawnSync(program, args, { cwd: bare, env, stdio: 'inherit' });
  if (status !== 0) throw error ?? new Error(`run.sh ended with ${status}`);
}

/** What each kind of part must have found. */
function check({ machine, parts }) {
  const wanted = partsOf({ device: 'cpu', tiny: true, cores: machine.cores });
  const { torch, jax } = machine.python?.packages ?? {};
  const runs = ({ program: [, script] }) =>
    script === 'jax_step.py' ? jax !== undefined : script.endsWith('.py') ? torch !== undefined : true;
  const positive = (...numbers) => numbers.every((number) => number > 0);
  const holds = {
    kit: ({ passed, failed, left, worst }) =>
      passed > 10 && failed === 0 && left === 0 && positive(worst.error),
    step: ({ secondsPerStep, secondsPerHeldStep, secondsToCompile, secondsToFirstStep, loss }) =>
      [secondsPerStep, secondsPerHeldStep].every((steps) => steps.length === 2 && positive(...steps)) &&
      positive(secondsToCompile, secondsToFirstStep, loss),
    peer: ({ results: modes }) =>
      Object.values(modes).every(({ ms, error }) => error === undefined && positive(ms)),
    run: ({ imagesPerSecond, steps }) =>
      steps.length === 4 && positive(imagesPerSecond, ...steps.map(({ loss }) => loss)),
    loader: ({ rates }) =>
      rates.length >= 2 && rates.every(({ imagesPerSecond }) => positive(imagesPerSecond)),
  };
  return wanted.filter(runs).flatMap(({ name, kind }) => {
    const part = parts[name];
    if (!part) return [`${name} did not run`];
    if (part.failed) return [`${name} ${part.failed}`];
    return holds[kind](part.result) ? [] : [`${name}: ${JSON.stringify(part.result).slice(0, 300)}`];
  });
}
