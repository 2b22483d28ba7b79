/** The ONNX Runtime backend. */
import { availableParallelism } from 'node:os';
import { type Backend, BackendError, type BackendOptions, defineBackend } from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import { lower } from './lower.ts';
import { probeBlock } from './probe.ts';
import { createProgram } from './program.ts';

export interface OrtOptions extends BackendOptions {
  /** Channels in a block of the nchwc domain: 16, 8, or 0 for plain NCHW. Default: probed once. */
  readonly block?: number;
  /** Writes ONNX Runtime's own profile of each program to this path's prefix. */
  readonly profile?: string;
}

async function loadRuntime(): Promise<typeof Ort> {
  try {
    const module = await import('onnxruntime-node');
    return (module.default ?? module) as typeof Ort;
  } catch (error) {
    throw new BackendError(
      `the backend ort needs the package onnxruntime-node, which failed to load (${(error as Error).message.split('\n')[0]}): npm install onnxruntime-node`,
    );
  }
}

/**
 * How long a thread out of work looks for more before it sleeps. ONNX Runtime's own default, endless, is 7 % quicker on an
 * idle machine and 40 % slower where anything else computes, such as the threads that make views.
 */
const spinMicroseconds = '20';

let probed: Promise<number> | undefined;

/** The block asked for, or the best. The plain layout needs no probe. Throws BackendError for one that computes wrongly here. */
async function usableBlock(ort: typeof Ort, asked?: number): Promise<number> {
  if (asked === 0) return 0;
  probed ??= probeBlock(ort);
  const best = await probed;
  if (asked !== undefined && asked !== best)
    throw new BackendError(
      `blocks of ${asked} channels don't compute right here; usable: ${best === 0 ? 0 : `${best} or 0`}`,
    );
  return best;
}

async function create(options: BackendOptions): Promise<Backend> {
  const { device = 'cpu', threads = availableParallelism(), block: asked, profile } = options as OrtOptions;
  if (device !== 'cpu') throw new BackendError(`the backend ort has no device "${device}"; known is: cpu`);
  const ort = await loadRuntime();
  const block = await usableBlock(ort, asked);
  return {
    name: 'ort',
    device: `cpu, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'],
      lowering: block === 0 ? 'NCHW' : `NCHW${block}c`,
    }),
    compile: async (graph, compileOptions = {}) => {
      const model = lower(graph, compileOptions.state ?? [], block);
      const session = await ort.InferenceSession.create(model.bytes, {
        executionProviders: ['cpu'],
        intraOpNumThreads: threads,
        executionMode: 'sequential',
        // The layout pass above this level would rewrite what is blocked already.
        graphOptimizationLevel: 'extended',
        logSeverityLevel: 3,
        // Planned memory is laid out for the sum of what never lives at once: 30 % more, and no quicker.
        enableMemPattern: false,
        extra: { session: { intra_op: { spin_duration_us: spinMicroseconds } } },
        ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
      });
      try {
        return await createProgram(ort, graph, model, session, compileOptions, block);
      } catch (error) {
        await session.release();
        throw error;
      }
    },
    dispose: async () => {},
  };
}

export const ortPlugin = defineBackend({ name: 'ort', create });
