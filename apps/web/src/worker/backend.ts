/** What computes: WebGPU where there is one, else WebAssembly with a word of why. */
import { type Backend, UserError } from '@moco-ts/core';
import plain from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-simd.wasm?url';
import type { Settings } from '../messages.ts';

export interface Opened {
  readonly backend: Backend;
  /** For people. */
  readonly name: string;
  readonly note?: string;
}

/** @throws UserError where what was asked for is not to be had */
export async function openBackend(wanted: Settings['backend']): Promise<Opened> {
  if (wanted === 'wasm') return openWasm();
  const reason = await noWebGpu();
  if (reason === undefined) {
    try {
      const { webgpuPlugin } = await import('@moco-ts/backend-webgpu');
      const backend = await webgpuPlugin.create({});
      return { backend, name: `WebGPU (${backend.device})` };
    } catch (error) {
      return fallBack(wanted, (error as Error).message);
    }
  }
  return fallBack(wanted, reason);
}

async function fallBack(wanted: Settings['backend'], reason: string): Promise<Opened> {
  if (wanted === 'webgpu') throw new UserError(`WebGPU can't be used: ${reason}. Choose WebAssembly.`);
  return { ...(await openWasm()), note: `Training runs on WebAssembly, which is slower, because ${reason}.` };
}

interface Gpu {
  requestAdapter(): Promise<object | null>;
}

/** Why there is no WebGPU; undefined where there is. */
async function noWebGpu(): Promise<string | undefined> {
  const { gpu } = navigator as { readonly gpu?: Gpu };
  if (!isSecureContext) return 'browsers offer WebGPU only to pages from https or localhost';
  if (!gpu) return 'this browser has no WebGPU';
  return (await gpu.requestAdapter()) ? undefined : 'WebGPU finds no graphics card here that it can use';
}

async function openWasm(): Promise<Opened> {
  const { env } = await import('@tensorflow/tfjs-core');
  const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
  const at = (file: string) => new URL(file, import.meta.url).href;
  // Threads need headers that a static page can't set; tfjs wants to know their file all the same.
  env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  setWasmPaths({
    'tfjs-backend-wasm.wasm': at(plain),
    'tfjs-backend-wasm-simd.wasm': at(simd),
    'tfjs-backend-wasm-threaded-simd.wasm': at(simd),
  });
  const { tfjsPlugin } = await import('@moco-ts/backend-tfjs');
  return { backend: await tfjsPlugin.create({ device: 'wasm' }), name: 'WebAssembly' };
}
