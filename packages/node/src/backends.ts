/** Which backends are usable on this machine, and how fast each is. */
import { execFileSync, fork } from 'node:child_process';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type BackendDevice,
  BackendError,
  computesIn,
  type EncoderTraits,
  type Precision,
  UserError,
} from '@moco-ts/core';
import { knownDevices, openNamedBackend, originOf } from './plugins.ts';
import { trainingSpeed } from './speed.ts';

/** What a probe found of a device that can be used. */
interface Usable {
  readonly name: string;
  readonly device: string;
  readonly lowering: string;
  /** What else the backend says of itself. */
  readonly details?: string;
  /** 10^9 operations per second in training; missing for devices that are checks, not places to train. */
  readonly speed?: number;
  /** A GPU that is computed in software: for tests. */
  readonly software: boolean;
  /** Whether it trains, or only computes features. */
  readonly training: boolean;
}

/** What a probe found. */
export type Found = Usable | { readonly name: string; readonly failure: string };

/** Which encoders a backend's speed is asked for: the quickest for one family may be slow for the other. */
type Family = EncoderTraits['family'];

/** How long a device may take to open and be measured, on a machine with nothing else to do. */
const PROBE_MS = 60_000;

/** The same where each core has several programs to run. */
const patience = () => Math.round(PROBE_MS * Math.max(1, loadavg()[0]! / availableParallelism()));

/** The program of the process that a driver's backend is tried in: a file of ours, whatever program this one is. */
const child = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './probe-child.source.mjs' : './probe-child.js', import.meta.url),
);

/**
 * Opens and measures a device; one that needs a driver in a process of its own.
 * @param family of the encoder that is to be trained
 * @param limit milliseconds for that process
 */
export async function probe(
  device: BackendDevice,
  family: Family = 'resnet',
  limit = patience(),
): Promise<Found> {
  if (device.needs !== 'driver') return probeHere(device, family);
  const { name } = device;
  const origin = originOf(name);
  // A backend that a program gave as an object is in this process alone.
  if (origin === undefined) return probeHere(device, family);
  // Discard what a driver writes to the terminal; the answer has its own channel.
  const tried = fork(child, [JSON.stringify(device), family, ...origin], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    execArgv: [],
    timeout: limit,
    killSignal: 'SIGKILL',
  });
  let answer: Found | undefined;
  tried.on('message', (message) => {
    answer = message as Found;
  });
  return new Promise((resolve) => {
    tried.on('error', (error) => resolve({ name, failure: error.message }));
    // Not before: the next device may be the same one's.
    tried.on('exit', (code, signal) => {
      const failure = tried.killed
        ? `its driver gave no answer in ${Math.round(limit / 1000)} s`
        : `its driver ended the process that tried it (${signal ?? code})`;
      resolve(answer ?? { name, failure });
    });
  });
}

/** The same in this process. */
export async function probeHere({ name, gpu, speed }: BackendDevice, family: Family): Promise<Found> {
  try {
    const backend = await openNamedBackend(name);
    try {
      const { lowering, training } = backend.capabilities();
      const { device, details } = backend;
      const software = /swiftshader|llvmpipe|lavapipe|software/i.test(
        `${device} ${process.env.VK_DRIVER_FILES ?? ''}`,
      );
      const about = details === undefined ? {} : { details };
      const facts = { name, device, lowering, training, software: gpu === true && software, ...about };
      return speed === 'check' ? facts : { ...facts, speed: await trainingSpeed(backend, family) };
    } finally {
      await backend.dispose();
    }
  } catch (error) {
    if (error instanceof UserError) return { name, failure: error.message };
    return { name, failure: (error as Error).message.split('\n')[0]! };
  }
}

/** The machine's own memory, or its GPU's: `23.5 GiB`; undefined where nobody tells. */
export function memoryOf({ gpu }: BackendDevice): string | undefined {
  if (!gpu) return gib(totalmem());
  const card = nvidia();
  return card === undefined ? undefined : gib(card.bytes);
}

/** The processor's or the GPU's name. */
export function deviceName({ gpu }: BackendDevice, { device, software }: Usable): string {
  if (gpu) return software ? `${device} (software)` : (nvidia()?.name ?? device);
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

/** Another backend must be this much faster than the default to be chosen. */
const CLEARLY = 1.1;

/** The fastest usable backend on real hardware; `ort` unless another is clearly faster. */
export function choose(
  results: readonly Found[],
  precision: Precision = 'fp32',
): Found & { readonly speed: number } {
  const usable = results.filter(
    (each): each is Usable & { readonly speed: number } =>
      !('failure' in each) && !each.software && each.training && each.speed !== undefined,
  );
  if (usable.length === 0)
    throw new BackendError(
      `no backend${precision === 'fp32' ? '' : ` that computes in ${precision}`} is usable here; see moco backends`,
      { code: 'backend-unavailable' },
    );
  const usual = usable.find(({ name }) => name === 'ort');
  const quickest = usable.reduce((a, b) => (b.speed > a.speed ? b : a));
  return usual && quickest.speed < CLEARLY * usual.speed ? usual : quickest;
}

/** What is to be trained: an encoder of a family, in a precision. */
export interface Work {
  readonly family?: Family;
  readonly precision?: Precision;
}

/**
 * The backend that `--backend auto` stands for, and why.
 * @param devices default: those of all backends that are known
 */
export async function chooseBackend(
  { family = 'resnet', precision = 'fp32' }: Work = {},
  devices?: readonly BackendDevice[],
): Promise<{ readonly name: string; readonly reason: string }> {
  const results: Found[] = [];
  for (const device of devices ?? (await knownDevices()))
    if (device.speed === 'training' && computesIn(device, precision))
      results.push(await probe(device, family));
  const chosen = choose(results, precision);
  const others = results.filter(
    (each) => each.name !== chosen.name && !('failure' in each) && !each.software,
  );
  const rest = others.map((each) => `${each.name} ${Math.round((each as { speed: number }).speed)}`);
  const reason = `${Math.round(chosen.speed)} GF/s${rest.length > 0 ? `; ${rest.join(', ')}` : ''}`;
  return { name: chosen.name, reason };
}
