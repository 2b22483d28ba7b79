/** Loads tfjs-node: TensorFlow's own library behind tfjs. It is a package that the user installs, or builds. */
import { BackendError } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';

/** `@tensorflow/tfjs-node` or its twin for CUDA. */
export type NativePackage = '@tensorflow/tfjs-node' | '@tensorflow/tfjs-node-gpu';

/**
 * Imports the package, which registers its kernels with tfjs-core.
 * @throws BackendError that says what is missing: the package, its binding, TensorFlow, CUDA or cuDNN
 */
export async function loadNative(name: NativePackage): Promise<void> {
  await restoreUtil();
  // Else TensorFlow greets the user too.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  try {
    // A computed name: bundlers must not look for it.
    await import(/* @vite-ignore */ name);
  } catch (error) {
    const device = name.slice('@tensorflow/tfjs-'.length);
    throw new BackendError(`tfjs:${device} is not usable here: ${reason(name, error)}`, {
      code: 'backend-unavailable',
      setting: 'backend',
      value: `tfjs:${device}`,
      cause: error,
    });
  }
  if (!tf.engine().backendNames().includes('tensorflow'))
    throw new BackendError(
      `${name} came with another copy of @tensorflow/tfjs-core; install both in one place, with one version: npm dedupe`,
      { code: 'backend-unavailable' },
    );
}

/** Node 23 dropped functions of `util` that tfjs-node 4.22 still calls. */
async function restoreUtil(): Promise<void> {
  const { createRequire } = await import('node:module');
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

/** What is missing, and what to do: loaders and bundlers, unlike Node, tell it by texts alone. */
export function reason(name: NativePackage, error: unknown): string {
  const message = String((error as Error).message ?? error).split('\n')[0]!;
  const missing = /(lib[\w.+-]+\.so[\w.]*)[^/]*cannot open shared object/.exec(message)?.[1];
  if (missing?.startsWith('libcudnn')) return `cuDNN is missing (${missing}); install cuDNN 8 for CUDA 11`;
  if (missing?.startsWith('libcu') || missing?.startsWith('libnv'))
    return `CUDA is missing (${missing}); install CUDA 11 and its driver`;
  if (missing?.startsWith('libtensorflow'))
    return `TensorFlow's library is missing (${missing}); npm rebuild ${name} --foreground-scripts, or scripts/build-tfjs-node.sh of this project`;
  // Node's words, and those of bundlers.
  if (/Cannot find (package|module)|Could not resolve/.test(message) && message.includes(name))
    return `it needs the package ${name}: npm install ${name}`;
  if (message.includes('tfjs_binding') || message.includes('napi-v'))
    return `the binding of ${name} is missing, since install scripts are off or its download failed; npm rebuild ${name} --foreground-scripts, or scripts/build-tfjs-node.sh of this project`;
  return message;
}
