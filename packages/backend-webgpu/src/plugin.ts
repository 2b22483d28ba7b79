/** The WebGPU backend: tfjs's WebGPU kernels, in a browser or on Node through Dawn (the package `webgpu`). */
import { createProgram } from '@moco-ts/backend-tfjs';
import { type Backend, BackendError, defineBackend, type Graph, sizeOf } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { type Device, guarded, guardOf } from './lost.ts';

/** What is used of WebGPU's own types, which not every TypeScript library has. */
interface Adapter {
  readonly info?: { readonly vendor: string; readonly architecture: string; readonly description: string };
  readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number };
}
interface Gpu {
  requestAdapter(options?: object): Promise<Adapter | null>;
}
interface Dawn {
  create(options: string[]): Gpu;
  readonly globals: object;
}

const unavailable = (text: string, cause?: unknown) =>
  new BackendError(text, { code: 'backend-unavailable', setting: 'backend', value: 'webgpu', cause });

/** The WebGPU that the browser has, or Node through the package `webgpu`. */
async function findGpu(): Promise<Gpu> {
  const own = (globalThis as { readonly navigator?: { readonly gpu?: Gpu } }).navigator?.gpu;
  if (own) return own;
  if (typeof process === 'undefined' || !process.versions?.node)
    throw unavailable('this browser has no WebGPU: use tfjs:wasm, or a newer browser');
  const name = 'webgpu';
  const dawn = (await import(/* @vite-ignore */ name).catch((error: Error) => {
    throw unavailable(
      `the backend webgpu needs the package webgpu in Node, which failed to load (${error.message.split('\n')[0]}): npm install webgpu`,
      error,
    );
  })) as Dawn;
  const gpu = dawn.create([]);
  Object.assign(globalThis, dawn.globals);
  // tfjs looks for both; Node 21 and newer have a navigator without them, which can't be written to.
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: `Node.js/${process.versions.node}` },
    configurable: true,
  });
  return gpu;
}

async function create(): Promise<Backend> {
  const gpu = await findGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw unavailable(
      'WebGPU finds no adapter here: a GPU with a Vulkan, Metal or Direct3D 12 driver is needed',
    );
  tf.enableProdMode();
  await import('@tensorflow/tfjs-backend-webgpu');
  const activate = async () => {
    if (!(await tf.setBackend('webgpu'))) throw unavailable('tfjs could not start WebGPU on this adapter');
  };
  await activate();
  const { device } = tf.backend() as unknown as { readonly device: Device };
  const guard = guardOf(device);
  const { info, limits } = adapter;
  const largest = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  return {
    name: 'webgpu',
    device: info?.description || info?.architecture || info?.vendor || 'gpu',
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'],
      lowering: 'WGSL kernels one by one',
      overlapping: true,
    }),
    compile: async (graph, options = {}) => {
      checkSizes(graph, largest);
      return guarded(createProgram(graph, options, activate), guard);
    },
    dispose: async () => {},
  };
}

/** Throws BackendError for a value that no buffer of the adapter can hold, before anything runs. */
function checkSizes(graph: Graph, largest: number): void {
  for (const { shape } of graph.values)
    if (sizeOf(shape) * 4 > largest)
      throw new BackendError(
        `a value of [${shape.join(', ')}] needs ${sizeOf(shape) * 4} bytes, and this GPU's buffers hold ${largest}: use a smaller batch or smaller images`,
        { code: 'backend-memory', setting: 'batchSize' },
      );
}

export const webgpuPlugin = defineBackend({
  name: 'webgpu',
  devices: () => [{ name: 'webgpu', speed: 'training', gpu: true, needs: 'driver' }],
  create,
});
