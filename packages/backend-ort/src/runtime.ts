/**
 * The one place that loads ONNX Runtime: with its telemetry off. Version 1.30 has a client that is on by default: it asks for a
 * collector's address, and writes a device id and events below the user's cache folder and the temporary one.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { BackendError, printable } from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';

/** Read by the library when it makes its first session. Its binding for Node has no other switch. */
const SWITCH = 'ORT_DISABLE_TELEMETRY';
/** How long a main thread that computes is waited for. */
const ANSWER_MS = 30_000;

/**
 * How long a thread out of work looks for more before it sleeps. ONNX Runtime's own default, endless, is 7 % quicker on an
 * idle machine and 40 % slower where anything else computes, such as the threads that make views.
 */
const spinMicroseconds = '20';

/** Options of a session by which it computes on so many threads, beside others. */
export const threading = (threads: number) =>
  ({
    intraOpNumThreads: threads,
    executionMode: 'sequential',
    extra: { session: { intra_op: { spin_duration_us: spinMicroseconds } } },
  }) as const satisfies Ort.InferenceSession.SessionOptions;

let loaded: Promise<typeof Ort> | undefined;

/**
 * Loads onnxruntime-node.
 * @throws BackendError where it is not installed or fails to load, or where its telemetry can't be switched off
 */
export function loadRuntime(): Promise<typeof Ort> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<typeof Ort> {
  await switchTelemetryOff();
  try {
    const module = await import('onnxruntime-node');
    return (module.default ?? module) as typeof Ort;
  } catch (error) {
    throw new BackendError(
      `the backend ort needs the package onnxruntime-node, which failed to load (${(error as Error).message.split('\n')[0]}): npm install onnxruntime-node`,
      { code: 'backend-unavailable', setting: 'backend', value: 'ort', cause: error },
    );
  }
}

/** What ONNX Runtime says where it refuses a model or a run, in one line. Its errors for Node are plain ones: texts alone. */
export function refusal(error: unknown): BackendError {
  if (error instanceof BackendError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (/bad_alloc|[Ff]ailed to allocate memory/.test(message))
    return new BackendError(
      'ONNX Runtime has not enough memory for this: give a smaller batch or image size',
      { code: 'backend-memory', setting: 'batchSize', cause: error },
    );
  return new BackendError(`ONNX Runtime refuses: ${printable(message.split('\n')[0]!, 300)}`, {
    cause: error,
  });
}

/** Whether a step was computed to its end, and only its first output refused, which is no tensor: see lower.ts. */
export const refusesNoTensor = ({ message }: Error): boolean => message.startsWith('Non tensor type');

/** The folder of the package, which is not loaded. */
export function runtimeFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
}

async function switchTelemetryOff(): Promise<void> {
  const inherited = process.env[SWITCH];
  process.env[SWITCH] = '1';
  if (isMainThread || (await setInMainThread())) return;
  if (inherited === '1') return;
  throw new BackendError(
    `ONNX Runtime's telemetry can't be switched off from this thread while the main one waits: start the process with ${SWITCH}=1`,
    { code: 'backend-unavailable' },
  );
}

/**
 * A worker thread's `process.env` is a copy that native code doesn't see: the variable is set in the main thread.
 * @returns false where the main thread doesn't answer
 */
async function setInMainThread(): Promise<boolean> {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connectToMainThread();
  try {
    return await new Promise((resolve) => {
      // It keeps this thread alive too, which waiting for an answer doesn't.
      const timer = setTimeout(() => resolve(false), ANSWER_MS);
      const expression = `globalThis.process.env.${SWITCH} = '1'`;
      session.post('Runtime.evaluate', { expression }, (error, answer) => {
        clearTimeout(timer);
        resolve(error === null && answer?.result.value === '1');
      });
    });
  } finally {
    session.disconnect();
  }
}
