/** Which backends are usable on this machine, and how fast each is. */
import { execFile, execFileSync } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Backend, BackendError, conv2d, mean, type Tensor, trace, UserError } from '@moco-ts/core';
import { openNamedBackend } from './plugins.ts';

/** All that comes with the command, the usual first. */
export const choices = [
  ...[
    'ort',
    'ort:cuda',
    'ort:webgpu',
    'tfjs:cpu',
    'tfjs:wasm',
    'tfjs:node',
    'tfjs:node-gpu',
    'webgpu',
    'reference',
  ],
] as const;

/** What a probe found. */
export type Found =
  | {
      readonly name: string;
      readonly device: string;
      readonly lowering: string;
      /** 10^9 operations per second; missing for backends that are checks, not places to train. */
      readonly speed?: number;
      /** A GPU that is computed in software: for tests. */
      readonly software: boolean;
      /** Whether it trains, or only computes features. */
      readonly training: boolean;
    }
  | { readonly name: string; readonly failure: string };

/** Checks, not places to train: a measurement would take seconds. */
const slow: ReadonlySet<string> = new Set(['reference', 'tfjs:cpu']);
/** What loads drivers, which may write to the terminal or take the process down. */
const native: ReadonlySet<string> = new Set([
  'ort:cuda',
  'ort:webgpu',
  'tfjs:node',
  'tfjs:node-gpu',
  'webgpu',
]);
const onGpu: ReadonlySet<string> = new Set(['ort:cuda', 'ort:webgpu', 'tfjs:node-gpu', 'webgpu']);
const PROBE_MS = 60_000;

/** The program of the process that a driver's backend is tried in: a file of ours, whatever program this one is. */
const child = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './probe-child.source.mjs' : './probe-child.js', import.meta.url),
);

/** Opens and measures a backend; a driver's is opened in a process of its own. */
export async function probe(name: string): Promise<Found> {
  if (!native.has(name)) return probeHere(name);
  const text = await new Promise<string>((resolve) => {
    execFile(process.execPath, [child, name], { timeout: PROBE_MS }, (error, out) =>
      resolve(error && out === '' ? `crashed:${error.signal ?? error.code}` : out),
    );
  });
  if (text.startsWith('crashed:')) {
    const failure = `its driver ended the process that tried it (${text.slice(8)})`;
    return { name, failure };
  }
  return JSON.parse(text) as Found;
}

export async function probeHere(name: string): Promise<Found> {
  try {
    const backend = await openNamedBackend(name);
    try {
      const { lowering, training } = backend.capabilities();
      const { device } = backend;
      const software = /swiftshader|llvmpipe|lavapipe|software/i.test(
        `${device} ${process.env.VK_DRIVER_FILES ?? ''}`,
      );
      const facts = { name, device, lowering, training, software: onGpu.has(name) && software };
      return slow.has(name) ? facts : { ...facts, speed: await measure(backend) };
    } finally {
      await backend.dispose();
    }
  } catch (error) {
    if (error instanceof UserError) return { name, failure: error.message };
    return { name, failure: (error as Error).message.split('\n')[0]! };
  }
}

/** The machine's own memory, or its GPU's: `23.5 GiB`; undefined where nobody tells. */
export function memoryOf(name: string): string | undefined {
  if (!onGpu.has(name)) return gib(totalmem());
  const gpu = nvidia();
  return gpu === undefined ? undefined : gib(gpu.bytes);
}

/** The processor's or the GPU's name. */
export function deviceName({ name, device, software }: Exclude<Found, { failure: string }>): string {
  if (onGpu.has(name)) return software ? `${device} (software)` : (nvidia()?.name ?? device);
  const model = cpus()[0]
    ?.model.replace(/\((R|TM)\)|CPU|Processor|@.*$/g, '')
    .replace(/\s+/g, ' ');
  return model?.trim() || `${availableParallelism()} cores`;
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

let asked: { name: string; bytes: number } | undefined | null = null;

function nvidia(): { name: string; bytes: number } | undefined {
  if (asked !== null) return asked;
  try {
    const args = ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits'];
    // Windows looks for programs in the working folder first, which may hold anybody's.
    const cwd = dirname(child);
    const text = execFileSync('nvidia-smi', args, { cwd, encoding: 'utf8', timeout: 5000, stdio: 'pipe' });
    const [line] = text.split('\n');
    const [name, mib] = line!.split(',').map((part) => part.trim()) as [string, string];
    asked = { name, bytes: Number(mib) * 2 ** 20 };
  } catch {
    asked = undefined;
  }
  return asked;
}

/** A rival must be this much quicker than the default to be chosen. */
const CLEARLY = 1.1;

/** The quickest usable backend on real hardware; `ort` unless another is clearly quicker. */
export function choose(found: readonly Found[]): Found & { readonly speed: number } {
  const usable = found.filter(
    (each): each is Exclude<Found, { failure: string }> & { speed: number } =>
      !('failure' in each) && !each.software && each.training && each.speed !== undefined,
  );
  if (usable.length === 0) throw new BackendError('no backend is usable here; see moco backends');
  const usual = usable.find(({ name }) => name === 'ort');
  const quickest = usable.reduce((a, b) => (b.speed > a.speed ? b : a));
  return usual && quickest.speed < CLEARLY * usual.speed ? usual : quickest;
}

/** The backend that `--backend auto` stands for, and why. */
export async function chooseBackend(): Promise<{ readonly name: string; readonly reason: string }> {
  const found: Found[] = [];
  for (const name of choices) if (!slow.has(name)) found.push(await probe(name));
  const chosen = choose(found);
  const others = found.filter((each) => each.name !== chosen.name && !('failure' in each) && !each.software);
  const rest = others.map((each) => `${each.name} ${Math.round((each as { speed: number }).speed)}`);
  const reason = `${Math.round(chosen.speed)} GF/s${rest.length > 0 ? `; ${rest.join(', ')}` : ''}`;
  return { name: chosen.name, reason };
}

const [BATCH, CHANNELS, SIDE, KERNEL] = [8, 64, 32, 3];
const RUNS = 12;

/** The best of some runs of a convolution, operands staying with the backend, in 10^9 operations per second. */
async function measure(backend: Backend): Promise<number> {
  const images = [BATCH, CHANNELS, SIDE, SIDE];
  const filter = [CHANNELS, CHANNELS, KERNEL, KERNEL];
  const graph = trace((builder) => {
    const y = conv2d(builder.input('x', images), builder.input('w', filter), { stride: 1, padding: 1 });
    return { mean: mean(y, [0, 2, 3]) };
  });
  const program = await backend.compile(graph, { state: [{ input: 'x' }, { input: 'w' }] });
  const filled = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((product, extent) => product * extent, 1);
    return { shape, dtype: 'float32', data: Float32Array.from({ length: size }, (_, i) => (i % 7) / 7) };
  };
  await program.load({ x: filled(images), w: filled(filter) });
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    await program.run({});
    best = Math.min(best, performance.now() - started);
  }
  await program.dispose();
  const operations = 2 * BATCH * SIDE * SIDE * CHANNELS * CHANNELS * KERNEL * KERNEL;
  return operations / (best * 1e6);
}
