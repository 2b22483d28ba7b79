/** What computes: WebGPU where a graphics card is behind it, else WebAssembly with a word of why. */
import { type Backend, UserError } from '@moco-ts/core';
import plain from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-simd.wasm?url';
import type { Settings } from '../fields.ts';
import { type Adapter, softwareName } from './trial.ts';

export interface Opened {
  readonly backend: Backend;
  /** For people. */
  readonly name: string;
  readonly note?: string;
}

/** @throws UserError where what was asked for is not to be had */
export async function openBackend(wanted: Settings['backend']): Promise<Opened> {
  if (wanted === 'wasm') return openWasm();
  const { reason, software } = await lookAtWebGpu();
  if (reason !== undefined) return fallBack(wanted, reason);
  const slow = software && `WebGPU is computed by the processor here (${software})`;
  if (slow && wanted === 'auto') return fallBack(wanted, slow);
  try {
    const { webgpuPlugin } = await import('@moco-ts/backend-webgpu');
    const backend = await webgpuPlugin.create({});
    const name = `WebGPU (${backend.device})`;
    return { backend, name, ...(slow && { note: `${slow}: WebAssembly is quicker.` }) };
  } catch (error) {
    return fallBack(wanted, (error as Error).message);
  }
}

/** WebAssembly, with a word of why; an error for who asked for WebGPU by name. @throws UserError */
export async function fallBack(wanted: Settings['backend'], reason: string): Promise<Opened> {
  if (wanted === 'webgpu') throw new UserError(`WebGPU can't be used: ${reason}. Choose WebAssembly.`);
  return { ...(await openWasm()), note: `Training runs on WebAssembly: ${reason}.` };
}

interface Gpu {
  requestAdapter(options: object): Promise<Adapter | null>;
}

/** Why there is no WebGPU, or what computes in a graphics card's stead. */
async function lookAtWebGpu(): Promise<{ readonly reason?: string; readonly software?: string }> {
  const { gpu } = navigator as { readonly gpu?: Gpu };
  if (!isSecureContext) return { reason: 'browsers offer WebGPU only to pages from https or localhost' };
  if (!gpu) return { reason: 'this browser has no WebGPU' };
  // The one that the backend will ask for.
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return { reason: 'WebGPU finds no graphics card here that it can use' };
  const software = softwareName(adapter);
  return software === undefined ? {} : { software };
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
